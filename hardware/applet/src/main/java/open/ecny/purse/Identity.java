package open.ecny.purse;

import javacard.framework.Util;
import javacard.security.ECPrivateKey;
import javacard.security.ECPublicKey;
import javacard.security.KeyBuilder;
import javacard.security.KeyPair;

/**
 * The card's own key pair, made in the card and never told, and the id that follows from it: the thumbprint of the
 * public key (RFC 9679). Whether there is one says the state record.
 */
final class Identity {
    private final State state;
    private final Hash hash;
    private final KeyPair pair;
    private final byte[] point = new byte[Layout.POINT];
    private final byte[] id = new byte[Layout.ID];

    Identity(State state, Hash hash) {
        this.state = state;
        this.hash = hash;
        ECPublicKey open =
                (ECPublicKey) KeyBuilder.buildKey(KeyBuilder.TYPE_EC_FP_PUBLIC, KeyBuilder.LENGTH_EC_FP_256, false);
        ECPrivateKey secret =
                (ECPrivateKey) KeyBuilder.buildKey(KeyBuilder.TYPE_EC_FP_PRIVATE, KeyBuilder.LENGTH_EC_FP_256, false);
        Curve.set(open);
        Curve.set(secret);
        pair = new KeyPair(open, secret);
    }

    /** Makes the key pair, unless there is one, and commits that it is there. A pair of a torn try is never used. */
    void make() {
        if (state.hasKey()) {
            return;
        }
        pair.genKeyPair();
        ((ECPublicKey) pair.getPublic()).getW(point, (short) 0);
        hash.thumbprint(point, x(), point, y(), id, (short) 0);
        state.now[State.HAS_KEY] = 1;
        state.commit();
    }

    /** 32 bytes; rubbish before there is a key pair. */
    byte[] id() {
        return id;
    }

    boolean is(byte[] other, short at) {
        return Util.arrayCompare(id, (short) 0, other, at, Layout.ID) == 0;
    }

    /** The public point: 04, x, y; rubbish before there is a key pair. */
    byte[] point() {
        return point;
    }

    static short x() {
        return 1;
    }

    static short y() {
        return 33;
    }

    ECPrivateKey secret() {
        return (ECPrivateKey) pair.getPrivate();
    }
}
