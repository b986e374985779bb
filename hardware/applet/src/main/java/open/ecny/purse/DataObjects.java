package open.ecny.purse;

import javacard.framework.ISOException;

/** GET DATA. */
final class DataObjects {
    DataObjects(Memory memory) {}

    /** Writes the object of tag {@code p1 ‖ p2} to the start of {@code to}; returns its size. Throws NOT_FOUND. */
    short get(byte p1, byte p2, byte[] to) {
        ISOException.throwIt(Words.UNKNOWN_INS);
        return 0;
    }
}
