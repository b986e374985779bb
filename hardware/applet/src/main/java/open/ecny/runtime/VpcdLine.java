package open.ecny.runtime;

import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.OutputStream;
import java.net.Socket;

/**
 * The card's end of the protocol of vsmartcard's virtual reader. Connecting is insertion, closing is removal. A message
 * is a length of two bytes, big-endian, and a body; a body of one byte is a control (0 power off, 1 power on, 2 reset,
 * 4 asks for the ATR and is the only one that is answered), any other a command APDU.
 *
 * <p>Length and body leave in one write: the driver takes a lone length byte for the beginning of nothing. A tear
 * closes the connection before the answer.
 */
final class VpcdLine {
    private static final int POWER_OFF = 0;
    private static final int POWER_ON = 1;
    private static final int RESET = 2;
    private static final int ATR = 4;

    private final Chip chip;
    private final byte[] atr;
    private final CardImage image;

    /** @param image where memory is kept, or null */
    VpcdLine(Chip chip, byte[] atr, CardImage image) {
        this.chip = chip;
        this.atr = atr.clone();
        this.image = image;
    }

    /** One insertion. Returns when the reader is gone or the card is torn; true if it was torn. */
    boolean serve(Socket socket) throws IOException {
        socket.setTcpNoDelay(true);
        boolean powered = true;
        synchronized (chip) {
            chip.powerOn();
        }
        try {
            DataInputStream in = new DataInputStream(new BufferedInputStream(socket.getInputStream()));
            while (true) {
                byte[] body = in.readNBytes(in.readUnsignedShort());
                if (body.length != 1) {
                    send(socket, transmit(body));
                } else if (body[0] == ATR) {
                    send(socket, atr);
                } else {
                    powered = control(body[0], powered);
                }
            }
        } catch (EOFException gone) {
            return false;
        } catch (PowerLost torn) {
            return true;
        } finally {
            synchronized (chip) {
                chip.powerOff();
                keep();
            }
        }
    }

    private byte[] transmit(byte[] command) throws IOException {
        synchronized (chip) {
            byte[] answer = chip.transmit(command);
            keep();
            return answer;
        }
    }

    private boolean control(int code, boolean powered) {
        synchronized (chip) {
            if (code == POWER_OFF) {
                chip.powerOff();
                return false;
            }
            if (code == RESET || (code == POWER_ON && !powered)) {
                chip.powerOn();
                return true;
            }
            return powered;
        }
    }

    private void keep() throws IOException {
        if (image != null) {
            image.keep();
        }
    }

    private static void send(Socket socket, byte[] body) throws IOException {
        byte[] message = new byte[body.length + 2];
        message[0] = (byte) (body.length >> 8);
        message[1] = (byte) body.length;
        System.arraycopy(body, 0, message, 2, body.length);
        OutputStream out = socket.getOutputStream();
        out.write(message);
        out.flush();
    }
}
