package open.ecny.purse;

import javacard.framework.ISOException;

/**
 * The constant bytes of every message: what lies between its fields. A message that equals its form outside the
 * fields is in its one deterministic encoding; no parser is needed, and nothing is left to disagree on
 * (docs/spec/messages.cddl).
 *
 * <p>A form is a sequence of: length of a run, the run, length of the field behind it. The suite, one byte, is part
 * of the first run, for this card knows one suite only.
 */
final class Form {
    static final byte[] REQUEST = {
        8, (byte) 0xA9, 0x00, 0x01, 0x01, 0x01, 0x02, 0x58, 0x20, 32,
        2, 0x03, 0x44, 4,
        2, 0x04, 0x44, 4,
        3, 0x05, 0x58, 0x20, 32,
        2, 0x06, 0x44, 4,
        2, 0x07, 0x48, 8,
        3, 0x08, 0x58, 0x20, 32
    };
    static final byte[] VOUCHER = {
        8, (byte) 0xAB, 0x00, 0x02, 0x01, 0x01, 0x02, 0x58, 0x20, 32,
        2, 0x03, 0x44, 4,
        2, 0x04, 0x44, 4,
        3, 0x05, 0x58, 0x20, 32,
        2, 0x06, 0x44, 4,
        2, 0x07, 0x48, 8,
        3, 0x09, 0x58, 0x20, 32,
        2, 0x0A, 0x44, 4,
        3, 0x0B, 0x58, 0x30, 48
    };
    static final byte[] RECEIPT = {
        8, (byte) 0xA8, 0x00, 0x03, 0x01, 0x01, 0x05, 0x58, 0x20, 32,
        2, 0x06, 0x44, 4,
        3, 0x0C, 0x58, 0x20, 32,
        2, 0x0D, 0x48, 8,
        2, 0x0E, 0x48, 8,
        2, 0x0F, 0x48, 8
    };
    static final byte[] REFUSAL = {
        8, (byte) 0xA5, 0x00, 0x04, 0x01, 0x01, 0x05, 0x58, 0x20, 32,
        2, 0x06, 0x44, 4,
        3, 0x09, 0x58, 0x20, 32
    };
    static final byte[] ORDER = {
        8, (byte) 0xA7, 0x00, 0x05, 0x01, 0x01, 0x02, 0x58, 0x20, 32,
        2, 0x03, 0x44, 4,
        2, 0x04, 0x44, 4,
        3, 0x0C, 0x58, 0x20, 32,
        3, 0x14, 0x58, 0x20, 32
    };
    static final byte[] REPORT = {
        8, (byte) 0xAF, 0x00, 0x06, 0x01, 0x01, 0x02, 0x58, 0x20, 32,
        2, 0x03, 0x44, 4,
        2, 0x04, 0x44, 4,
        2, 0x06, 0x44, 4,
        2, 0x0A, 0x44, 4,
        2, 0x0D, 0x48, 8,
        2, 0x0E, 0x48, 8,
        2, 0x0F, 0x48, 8,
        2, 0x10, 0x48, 8,
        2, 0x11, 0x48, 8,
        4, 0x12, 0x59, 0x02, 0x50, (byte) 240, 0, (byte) 240, 0, 112, // 592 bytes
        4, 0x13, 0x59, 0x01, 0x28, (byte) 240, 0, 56, // 296 bytes
        1, 0x15, 1
    };
    static final byte[] GRANT = {
        8, (byte) 0xAB, 0x00, 0x07, 0x01, 0x01, 0x02, 0x58, 0x20, 32,
        2, 0x03, 0x44, 4,
        2, 0x04, 0x44, 4,
        2, 0x0A, 0x44, 4,
        2, 0x10, 0x48, 8,
        2, 0x11, 0x48, 8,
        3, 0x12, 0x58, 0x50, 80,
        3, 0x13, 0x58, 0x20, 32,
        3, 0x14, 0x58, 0x20, 32
    };
    static final byte[] POLICY = {
        8, (byte) 0xB0, 0x00, 0x08, 0x01, 0x01, 0x02, 0x58, 0x20, 32,
        2, 0x03, 0x44, 4,
        1, 0x04, 1,
        1, 0x05, 1,
        1, 0x06, 1,
        2, 0x07, 0x48, 8,
        2, 0x08, 0x48, 8,
        2, 0x09, 0x48, 8,
        2, 0x0A, 0x44, 4,
        2, 0x0B, 0x48, 8,
        2, 0x0C, 0x48, 8,
        2, 0x0D, 0x48, 8,
        2, 0x0E, 0x44, 4,
        2, 0x0F, 0x44, 4
    };
    static final byte[] CERTIFICATION_REQUEST = {
        8, (byte) 0xA6, 0x00, 0x0C, 0x01, 0x01, 0x02, 0x58, 0x20, 32,
        3, 0x03, 0x58, 0x20, 32,
        1, 0x04, 1,
        3, 0x05, 0x58, 0x20, 32
    };
    static final byte[] CERTIFICATE = {
        10, (byte) 0xD2, (byte) 0x84, 0x58, 0x29, (byte) 0xA3, 0x01, 0x26, 0x04, 0x58, 0x20, 32,
        9, 0x10, 0x18, 0x3D, (byte) 0xA0, 0x58, 0x71, (byte) 0xA6, 0x04, 0x1A, 4,
        2, 0x05, 0x1A, 4,
        11, 0x08, (byte) 0xA1, 0x01, (byte) 0xA4, 0x01, 0x02, 0x20, 0x01, 0x21, 0x58, 0x20, 32,
        3, 0x22, 0x58, 0x20, 32,
        5, 0x3A, 0x00, 0x01, 0x11, 0x70, 1,
        5, 0x3A, 0x00, 0x01, 0x11, 0x71, 1,
        6, 0x3A, 0x00, 0x01, 0x11, 0x72, 0x44, 4,
        2, 0x58, 0x40, 64
    };

    /** What stands before a payload, but for the length of its byte string; and before the signature. */
    private static final byte[] ENVELOPE = {7, (byte) 0xD2, (byte) 0x84, 0x43, (byte) 0xA1, 0x01, 0x26, (byte) 0xA0, 0};

    private static final byte[] SIGNATURE = {2, 0x58, 0x40, 64};

    /** Head of the byte string of a Request: PAY brings the payload alone. */
    static final byte[] REQUEST_HEAD = {0x58, (byte) Layout.REQUEST};

    private Form() {}

    /** Throws MALFORMED unless the bytes at {@code at} equal the form outside its fields. */
    static void require(byte[] form, byte[] data, short at) {
        short difference = 0;
        for (short i = 0; i < form.length; ) {
            short run = form[i++];
            while (run-- > 0) {
                difference |= (short) (form[i++] ^ data[at++]);
            }
            at += (short) (form[i++] & 0xFF);
        }
        if (difference != 0) {
            ISOException.throwIt(Words.MALFORMED);
        }
    }

    /** The same of a signed message with a payload of {@code size} bytes, below 256. */
    static void requireSigned(byte[] form, short size, byte[] data, short at) {
        require(ENVELOPE, data, at);
        if (data[(short) (at + Layout.WRAPPED)] != 0x58
                || data[(short) (at + Layout.WRAPPED + 1)] != (byte) size) {
            ISOException.throwIt(Words.MALFORMED);
        }
        require(form, data, (short) (at + Layout.PAYLOAD));
        require(SIGNATURE, data, (short) (at + Layout.PAYLOAD + size));
    }

    /** Throws MALFORMED unless the 8 bytes are an amount of at most 2^53 - 1 fen. */
    static void requireAmount(byte[] data, short at) {
        if (!Bytes.isAmount(data, at)) {
            ISOException.throwIt(Words.MALFORMED);
        }
    }

    /** Writes the runs of the form, and leaves its fields as they are. */
    static void lay(byte[] form, byte[] data, short at) {
        for (short i = 0; i < form.length; ) {
            short run = form[i++];
            while (run-- > 0) {
                data[at++] = form[i++];
            }
            at += (short) (form[i++] & 0xFF);
        }
    }

    /** The same with the envelope around it; returns where the payload starts. */
    static short laySigned(byte[] form, short size, byte[] data, short at) {
        lay(ENVELOPE, data, at);
        short payload = (short) (at + Layout.WRAPPED);
        if (size < 256) {
            data[payload++] = 0x58;
        } else {
            data[payload++] = 0x59;
            data[payload++] = (byte) (size >> 8);
        }
        data[payload++] = (byte) size;
        lay(form, data, payload);
        lay(SIGNATURE, data, (short) (payload + size));
        return payload;
    }
}
