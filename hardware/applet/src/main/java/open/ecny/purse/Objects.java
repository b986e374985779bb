package open.ecny.purse;

import javacard.framework.Util;

/**
 * The objects of STORE DATA, two banks each, so that the one in force is never written over.
 *
 * <p>{@code write} copies into the spare bank, not atomically, and marks it as the one in force in the state's image;
 * the caller's commit makes it count.
 */
final class Objects {
    // P1 of STORE DATA.
    static final byte AUTHORITY = 1;
    static final byte OPERATOR = 2;
    static final byte PURSE = 3;
    static final byte POLICY = 4;
    static final byte PIN = 5;
    static final byte AUDIT_KEY = 6;
    static final byte COUNT = 6;

    static final short PIN_SIZE = 8;
    static final short AUDIT_KEY_SIZE = 16;

    private final State state;
    private final Bank[] first = new Bank[COUNT];
    private final Bank[] second = new Bank[COUNT];

    Objects(State state) {
        this.state = state;
        for (byte target = 1; target <= COUNT; target++) {
            short index = (short) (target - 1);
            first[index] = new Bank(size(target));
            second[index] = new Bank(size(target));
        }
    }

    /** Bytes of an object; 0 for a number that names none. */
    static short size(byte target) {
        switch (target) {
            case AUTHORITY:
            case OPERATOR:
            case PURSE:
                return Layout.CERTIFICATE;
            case POLICY:
                return Layout.SIGNED_POLICY;
            case PIN:
                return PIN_SIZE;
            case AUDIT_KEY:
                return AUDIT_KEY_SIZE;
            default:
                return 0;
        }
    }

    boolean has(byte target) {
        return bank(target) != 0;
    }

    /** The object in force, from offset 0; null where there is none. To be read only. */
    byte[] get(byte target) {
        switch (bank(target)) {
            case 1:
                return first[(short) (target - 1)].content;
            case 2:
                return second[(short) (target - 1)].content;
            default:
                return null;
        }
    }

    /** Whether the object in force is these bytes; in constant time, for the PIN and the key are objects too. */
    boolean holds(byte target, byte[] content, short at) {
        byte[] stored = get(target);
        return stored != null && Bytes.equal(stored, (short) 0, content, at, size(target));
    }

    /** Copies the object into the spare bank and points the state's image to it; it counts with the next commit. */
    void write(byte target, byte[] content, short at) {
        short index = (short) (target - 1);
        byte spare = (byte) (bank(target) == 1 ? 2 : 1);
        byte[] to = spare == 1 ? first[index].content : second[index].content;
        Util.arrayCopyNonAtomic(content, at, to, (short) 0, size(target));
        state.now[(short) (State.BANKS + index)] = spare;
    }

    private byte bank(byte target) {
        return state.now[(short) (State.BANKS + target - 1)];
    }

    /** One persistent array; Java Card knows no arrays of arrays. */
    private static final class Bank {
        final byte[] content;

        Bank(short size) {
            content = new byte[size];
        }
    }
}
