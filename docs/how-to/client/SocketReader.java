package open.ecny.client;

import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.util.concurrent.TimeUnit;

/**
 * A card reader made of a socket: the reader's side of vpcd. The card connects; each way a frame is a length of two
 * bytes (big-endian) and that many bytes. A frame of one byte is a control: 0 power off, 1 power on, 2 reset, 4 "say
 * your ATR"; only 4 is answered. Every longer one is a command APDU. A card that is torn out closes its connection.
 */
final class SocketReader implements Reader {
    private static final byte[] POWER_ON = {1};
    private static final byte[] ATR = {4};
    private static final int ANSWER_TIMEOUT_MS = 20_000;

    private final ServerSocket listening;
    private Socket card;
    private DataInputStream in;
    private DataOutputStream out;

    SocketReader(int port) throws IOException {
        listening = new ServerSocket(port, 1, InetAddress.getByName("127.0.0.1"));
    }

    @Override
    public String where() {
        return "127.0.0.1:" + listening.getLocalPort();
    }

    @Override
    public byte[] insert(long deadlineNanos) throws IOException {
        remove();
        while (true) {
            long left = TimeUnit.NANOSECONDS.toMillis(deadlineNanos - System.nanoTime());
            if (left <= 0) {
                throw new SocketTimeoutException("no card");
            }
            listening.setSoTimeout((int) left);
            card = listening.accept();
            card.setTcpNoDelay(true);
            card.setSoTimeout(ANSWER_TIMEOUT_MS);
            in = new DataInputStream(card.getInputStream());
            out = new DataOutputStream(card.getOutputStream());
            try {
                send(POWER_ON);
                return exchange(ATR);
            } catch (CardLost again) { // it came and went
                remove();
            }
        }
    }

    @Override
    public byte[] exchange(byte[] command) throws CardLost {
        try {
            send(command);
            byte[] answer = new byte[in.readUnsignedShort()];
            in.readFully(answer);
            return answer;
        } catch (IOException gone) {
            remove();
            throw new CardLost("the card left before it had answered", gone);
        }
    }

    private void send(byte[] body) throws CardLost {
        try {
            byte[] length = {(byte) (body.length >> 8), (byte) body.length};
            out.write(Bytes.join(length, body)); // in one piece: a card may not wait for the second
            out.flush();
        } catch (IOException gone) {
            throw new CardLost("the card left", gone);
        }
    }

    @Override
    public void remove() {
        if (card != null) {
            try {
                card.close();
            } catch (IOException alreadyGone) {
                // nothing is left to close
            }
            card = null;
        }
    }

    @Override
    public void close() throws IOException {
        remove();
        listening.close();
    }
}
