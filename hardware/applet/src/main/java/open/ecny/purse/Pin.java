package open.ecny.purse;

import javacard.framework.ISOException;

/** VERIFY: one try less, durable, before the comparison (transfer.md, rule 13). */
final class Pin {
    Pin(Memory memory) {}

    /** The PIN block (8 bytes) lies at 0. */
    void verify(byte[] buffer) {
        ISOException.throwIt(Words.UNKNOWN_INS);
    }
}
