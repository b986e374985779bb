package open.ecny.purse;

import javacard.security.MessageDigest;

/**
 * SHA-256 over what signatures cover and ids are made of, streamed from constant pieces and the message in its place.
 *
 * <p>H(x) is taken over the Sig_structure (RFC 9052, clause 4.4): constant head, protected header, empty external
 * data, and the byte string around the payload, which lies in the envelope in one run with its head.
 */
final class Hash {
    /** {@code 84 6A "Signature1"}: array of four, context. */
    static final byte[] CONTEXT = {(byte) 0x84, 0x6A, 'S', 'i', 'g', 'n', 'a', 't', 'u', 'r', 'e', '1'};
    /** {@code 43 A1 01 26 40}: protected header {1: -7}, no external data. */
    static final byte[] PROTECTED = {0x43, (byte) 0xA1, 0x01, 0x26, 0x40};
    static final byte[] NO_EXTERNAL_DATA = {0x40};

    private static final byte[] KEY_X = {(byte) 0xA4, 0x01, 0x02, 0x20, 0x01, 0x21, 0x58, 0x20};
    private static final byte[] KEY_Y = {0x22, 0x58, 0x20};

    private final MessageDigest sha = MessageDigest.getInstance(MessageDigest.ALG_SHA_256, false);

    /**
     * H of a message whose wrapped payload (byte string head and payload) lies at {@code at}: 32 bytes to {@code to}.
     */
    void message(byte[] wrapped, short at, short size, byte[] to, short toAt) {
        begin();
        sha.doFinal(wrapped, at, size, to, toAt);
    }

    /** The same, of a payload that came without an envelope; {@code head} is that of its byte string. */
    void payload(byte[] head, byte[] payload, short at, short size, byte[] to, short toAt) {
        begin();
        sha.update(head, (short) 0, (short) head.length);
        sha.doFinal(payload, at, size, to, toAt);
    }

    private void begin() {
        sha.reset();
        sha.update(CONTEXT, (short) 0, (short) CONTEXT.length);
        sha.update(PROTECTED, (short) 0, (short) PROTECTED.length);
    }

    /** The COSE Key Thumbprint of a point (RFC 9679): the id of the key's owner, 32 bytes. */
    void thumbprint(byte[] x, short xAt, byte[] y, short yAt, byte[] to, short toAt) {
        sha.reset();
        sha.update(KEY_X, (short) 0, (short) KEY_X.length);
        sha.update(x, xAt, Curve.SIZE);
        sha.update(KEY_Y, (short) 0, (short) KEY_Y.length);
        sha.doFinal(y, yAt, Curve.SIZE, to, toAt);
    }
}
