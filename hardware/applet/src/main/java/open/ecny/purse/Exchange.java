package open.ecny.purse;

import javacard.framework.APDU;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;

/**
 * The data of commands and answers in one transient buffer: pieces of a chain come together in it (ISO/IEC 7816-4,
 * clause 5.3.3), and what of an answer is not fetched yet waits in it for GET RESPONSE (clause 5.3.4). Never both at
 * once.
 */
final class Exchange {
    static final byte CHAINING = 0x10;

    /** The most bytes that a chain may have; what does not fit in the buffer fits no command, and is only counted. */
    private static final short LONGEST = 4096;

    private static final short HEADER = 4;

    // Offsets into counts.
    private static final short LENGTH = 0;
    private static final short CHAINED = 1;
    private static final short REST_AT = 2;
    private static final short REST = 3;
    private static final short COUNTS = 4;

    /** The data field of the command, then of its answer, from offset 0. */
    final byte[] buffer = JCSystem.makeTransientByteArray(Layout.BUFFER, JCSystem.CLEAR_ON_DESELECT);

    private final byte[] header = JCSystem.makeTransientByteArray(HEADER, JCSystem.CLEAR_ON_DESELECT);
    private final short[] counts = JCSystem.makeTransientShortArray(COUNTS, JCSystem.CLEAR_ON_DESELECT);

    /** Bytes of the command's data field; it may be more than the buffer holds. */
    short length() {
        return counts[LENGTH];
    }

    void forgetRest() {
        counts[REST] = 0;
    }

    void forgetChain() {
        counts[CHAINED] = 0;
    }

    /** Takes a command in. Returns whether it is whole; false for a piece of a chain. Another header begins anew. */
    boolean take(APDU apdu) {
        byte[] raw = apdu.getBuffer();
        boolean piece = (raw[ISO7816.OFFSET_CLA] & CHAINING) != 0;
        raw[ISO7816.OFFSET_CLA] &= (byte) ~CHAINING;
        boolean goesOn = counts[CHAINED] != 0
                && Util.arrayCompare(raw, (short) 0, header, (short) 0, HEADER) == 0;
        counts[CHAINED] = 0;
        Util.arrayCopyNonAtomic(raw, (short) 0, header, (short) 0, HEADER);
        if (piece && header[0] >= 0) { // CLA 0X: only this applet's own commands are long
            ISOException.throwIt(Words.CHAINING_NOT_SUPPORTED);
        }
        if (!goesOn) {
            counts[LENGTH] = 0;
        }
        receive(apdu);
        if (piece) {
            counts[CHAINED] = 1;
        }
        return !piece;
    }

    private void receive(APDU apdu) {
        byte[] raw = apdu.getBuffer();
        short got = apdu.setIncomingAndReceive();
        short all = apdu.getIncomingLength();
        short begun = counts[LENGTH];
        if (all < 0 || all > LONGEST || (short) (begun + all) > LONGEST) {
            ISOException.throwIt(Words.WRONG_LENGTH);
        }
        short at = apdu.getOffsetCdata();
        while (got > 0) {
            keep(raw, at, got);
            got = apdu.receiveBytes(at);
        }
        counts[LENGTH] = (short) (begun + all);
    }

    private void keep(byte[] raw, short at, short got) {
        short room = (short) (Layout.BUFFER - counts[LENGTH]);
        if (room > 0) {
            Util.arrayCopyNonAtomic(raw, at, buffer, counts[LENGTH], got < room ? got : room);
        }
        counts[LENGTH] += got;
    }

    /** CLA, INS, P1, P2 of the command, CLA without the chaining bit. */
    byte cla() {
        return header[ISO7816.OFFSET_CLA];
    }

    byte ins() {
        return header[ISO7816.OFFSET_INS];
    }

    byte p1() {
        return header[ISO7816.OFFSET_P1];
    }

    byte p2() {
        return header[ISO7816.OFFSET_P2];
    }

    /** Leaves nothing of the command behind its answer: there was a PIN in it, or a key. */
    void wipe(short answer) {
        if (answer < Layout.BUFFER) {
            Util.arrayFillNonAtomic(buffer, answer, (short) (Layout.BUFFER - answer), (byte) 0);
        }
    }

    /** Sends {@code size} bytes of the buffer, at most Ne of them; the rest is announced and waits. */
    void answer(APDU apdu, short size) {
        counts[REST_AT] = 0;
        counts[REST] = size;
        send(apdu, apdu.setOutgoing());
    }

    /** GET RESPONSE (clause 11.8.1). */
    void more(APDU apdu) {
        byte[] raw = apdu.getBuffer();
        counts[CHAINED] = 0;
        if (raw[ISO7816.OFFSET_P1] != 0 || raw[ISO7816.OFFSET_P2] != 0) {
            ISOException.throwIt(Words.WRONG_P1P2);
        }
        apdu.setIncomingAndReceive();
        short data = apdu.getIncomingLength();
        short expected = apdu.setOutgoing();
        if (data != 0 || expected == 0) {
            ISOException.throwIt(Words.WRONG_LENGTH);
        }
        if (counts[REST] == 0) {
            ISOException.throwIt(Words.WRONG_STATE);
        }
        send(apdu, expected);
    }

    private void send(APDU apdu, short expected) {
        boolean all = expected < 0 || counts[REST] < expected; // an Le of 32768 and above does not fit a short
        short part = all ? counts[REST] : expected;
        apdu.setOutgoingLength(part);
        apdu.sendBytesLong(buffer, counts[REST_AT], part);
        counts[REST_AT] += part;
        counts[REST] -= part;
        if (counts[REST] != 0) {
            short left = counts[REST] < (short) 256 ? counts[REST] : 0;
            ISOException.throwIt((short) (Words.REST_AVAILABLE | left));
        }
    }
}
