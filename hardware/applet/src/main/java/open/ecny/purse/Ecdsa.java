package open.ecny.purse;

import javacard.framework.JCSystem;
import javacard.framework.Util;
import javacard.security.ECPublicKey;
import javacard.security.KeyBuilder;
import javacard.security.Signature;

/**
 * Signatures of suite ES256 over Sig_structures that are streamed from their places. Outside a signature is r ‖ s, 64
 * bytes (RFC 9053, clause 2.1); the chip's engine speaks DER (X.690, clause 8.3), so both are translated here.
 *
 * <p>Java Card knows no transient public keys before 3.0.5, so the key of whoever is verified passes through one
 * persistent key object. Between commands it holds the base point of the curve: a command that was refused has left
 * no trace.
 */
final class Ecdsa {
    private static final short HALF = Curve.SIZE;
    private static final short DER = 72;
    private static final byte SEQUENCE = 0x30;
    private static final byte INTEGER = 0x02;

    private final Identity identity;
    private final Signature engine = Signature.getInstance(Signature.ALG_ECDSA_SHA_256, false);
    private final ECPublicKey peer =
            (ECPublicKey) KeyBuilder.buildKey(KeyBuilder.TYPE_EC_FP_PUBLIC, KeyBuilder.LENGTH_EC_FP_256, false);
    private final byte[] point = JCSystem.makeTransientByteArray(Layout.POINT, JCSystem.CLEAR_ON_DESELECT);
    private final boolean[] taken = JCSystem.makeTransientBooleanArray((short) 1, JCSystem.CLEAR_ON_DESELECT);
    private final byte[] der = JCSystem.makeTransientByteArray(DER, JCSystem.CLEAR_ON_DESELECT);

    Ecdsa(Identity identity) {
        this.identity = identity;
        Curve.set(peer);
        peer.setW(Curve.G, (short) 0, Layout.POINT);
    }

    /**
     * Signs the message whose byte string head and payload are the {@code size} bytes at {@code at}; r ‖ s follows at
     * its place.
     */
    void sign(byte[] message, short at, short size) {
        engine.init(identity.secret(), Signature.MODE_SIGN);
        begin();
        engine.sign(message, at, size, der, (short) 0);
        short from = number((short) 2, message, (short) (at + size + Layout.SIGNATURE_HEAD));
        number(from, message, (short) (at + size + Layout.SIGNATURE_HEAD + HALF));
    }

    /**
     * Whether the key in the certificate at {@code certAt} signed the message: wrapped payload at {@code at}, then
     * signature.
     */
    boolean verify(byte[] certificate, short certAt, byte[] message, short at, short size) {
        if (!take(certificate, certAt) || !toDer(message, (short) (at + size + Layout.SIGNATURE_HEAD))) {
            return false;
        }
        try {
            engine.init(peer, Signature.MODE_VERIFY);
            begin();
            return engine.verify(message, at, size, der, (short) 0, derSize());
        } catch (RuntimeException refused) { // what no point of the curve is, and what the engine thinks of its numbers
            return false;
        }
    }

    /** Whether the key in one certificate signed the other. */
    boolean verifyCertificate(byte[] issuer, short issuerAt, byte[] certificate, short at) {
        if (!take(issuer, issuerAt) || !toDer(certificate, (short) (at + Layout.CERTIFICATE_SIGNATURE))) {
            return false;
        }
        try {
            engine.init(peer, Signature.MODE_VERIFY);
            engine.update(Hash.CONTEXT, (short) 0, (short) Hash.CONTEXT.length);
            engine.update(
                    certificate, (short) (at + Layout.CERTIFICATE_PROTECTED), Layout.CERTIFICATE_PROTECTED_SIZE);
            engine.update(Hash.NO_EXTERNAL_DATA, (short) 0, (short) 1);
            return engine.verify(
                    certificate,
                    (short) (at + Layout.CERTIFICATE_WRAPPED),
                    Layout.CERTIFICATE_WRAPPED_SIZE,
                    der,
                    (short) 0,
                    derSize());
        } catch (RuntimeException refused) {
            return false;
        }
    }

    /** After each command: puts the base point back, if somebody was verified. */
    void forget() {
        if (taken[0]) {
            taken[0] = false;
            tidy();
        }
    }

    /** At SELECT, for a verification may have been torn; on some chips a key object has no value then. */
    void tidy() {
        if (!peer.isInitialized()) {
            Curve.set(peer);
        } else if (holdsBasePoint()) {
            return;
        }
        peer.setW(Curve.G, (short) 0, Layout.POINT);
    }

    private boolean holdsBasePoint() {
        peer.getW(point, (short) 0);
        return Util.arrayCompare(point, (short) 0, Curve.G, (short) 0, Layout.POINT) == 0;
    }

    private void begin() {
        engine.update(Hash.CONTEXT, (short) 0, (short) Hash.CONTEXT.length);
        engine.update(Hash.PROTECTED, (short) 0, (short) Hash.PROTECTED.length);
    }

    /** Takes the key out of a certificate; false where the chip sees at once that it is no point of the curve. */
    private boolean take(byte[] certificate, short at) {
        taken[0] = true;
        point[0] = 0x04;
        Util.arrayCopyNonAtomic(certificate, (short) (at + Layout.CERTIFICATE_X), point, (short) 1, HALF);
        Util.arrayCopyNonAtomic(
                certificate, (short) (at + Layout.CERTIFICATE_Y), point, (short) (1 + HALF), HALF);
        try {
            peer.setW(point, (short) 0, Layout.POINT);
            return true;
        } catch (RuntimeException refused) {
            return false;
        }
    }

    // DER

    private short derSize() {
        return (short) (2 + der[1]);
    }

    /** r ‖ s at {@code at} as SEQUENCE { INTEGER r, INTEGER s }; false where one is outside 1 to n - 1. */
    private boolean toDer(byte[] raw, short at) {
        if (!isInRange(raw, at) || !isInRange(raw, (short) (at + HALF))) {
            return false;
        }
        der[0] = SEQUENCE;
        short end = integer(raw, at, (short) 2);
        end = integer(raw, (short) (at + HALF), end);
        der[1] = (byte) (end - 2);
        return true;
    }

    private static boolean isInRange(byte[] raw, short at) {
        return !Bytes.isZero(raw, at, HALF) && Bytes.compare(raw, at, Curve.ORDER, (short) 0, HALF) < 0;
    }

    /** Writes one INTEGER, with the fewest bytes that keep it positive; returns where the next one goes. */
    private short integer(byte[] raw, short at, short to) {
        short size = HALF;
        while (raw[at] == 0) { // it is not zero, so this ends
            at++;
            size--;
        }
        short sign = (short) (raw[at] < 0 ? 1 : 0);
        der[to++] = INTEGER;
        der[to++] = (byte) (size + sign);
        if (sign != 0) {
            der[to++] = 0;
        }
        return Util.arrayCopyNonAtomic(raw, at, der, to, size);
    }

    /** Writes the INTEGER at {@code from} as 32 bytes; returns where the next one starts. */
    private short number(short from, byte[] to, short at) {
        short size = der[(short) (from + 1)];
        short next = (short) (from + 2 + size);
        short content = (short) (from + 2);
        if (size > HALF) { // a zero that keeps it positive
            content++;
            size--;
        }
        Util.arrayFillNonAtomic(to, at, (short) (HALF - size), (byte) 0);
        Util.arrayCopyNonAtomic(der, content, to, (short) (at + HALF - size), size);
        return next;
    }
}
