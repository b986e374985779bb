package open.ecny.purse;

import javacard.framework.Util;

/** File control information, the answer to SELECT (ISO/IEC 7816-4, clause 7.4.3): state, counters, balance. */
final class FileControl {
    static final byte[] AID = {(byte) 0xF0, 0x45, 0x43, 0x4E, 0x59, 0x57, 0x01};

    /** Everything but the values of C0 to C9, with room for them. */
    private static final byte[] FORM = {
        0x6F, 0x63, (byte) 0x84, 0x07, (byte) 0xF0, 0x45, 0x43, 0x4E, 0x59, 0x57, 0x01, (byte) 0xA5, 0x58,
        (byte) 0xC0, 1, 0,
        (byte) 0xC1, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        (byte) 0xC2, 4, 0, 0, 0, 0,
        (byte) 0xC3, 4, 0, 0, 0, 0,
        (byte) 0xC4, 4, 0, 0, 0, 0,
        (byte) 0xC5, 8, 0, 0, 0, 0, 0, 0, 0, 0,
        (byte) 0xC6, 2, 0, 0,
        (byte) 0xC7, 1, 0,
        (byte) 0xC8, 4, 0, 0, 0, 0,
        (byte) 0xC9, 8, 0, 0, 0, 0, 0, 0, 0, 0
    };
    private static final short LIFECYCLE = 15;
    private static final short PURSE_ID = 18;
    private static final short EPOCH = 52;
    private static final short NEXT_N = 58;
    private static final short NEXT_K = 64;
    private static final short BALANCE = 70;
    private static final short FREE = 80;
    private static final short PIN_TRIES = 84;
    private static final short POLICY_VERSION = 87;
    private static final short PAYEE_THRESHOLD = 93;

    private final Memory memory;
    private final Identity identity;

    FileControl(Memory memory, Identity identity) {
        this.memory = memory;
        this.identity = identity;
    }

    /** Writes the file control information to the start of {@code to}; returns its size. */
    short write(byte[] to) {
        byte[] now = memory.state.now;
        Util.arrayCopyNonAtomic(FORM, (short) 0, to, (short) 0, (short) FORM.length);
        to[LIFECYCLE] = now[State.LIFECYCLE];
        if (now[State.LIFECYCLE] != State.BLANK && memory.state.hasKey()) { // it may be terminated without one
            Util.arrayCopyNonAtomic(identity.id(), (short) 0, to, PURSE_ID, Layout.ID);
        }
        Util.arrayCopyNonAtomic(now, State.EPOCH, to, EPOCH, Bytes.COUNTER);
        Util.arrayCopyNonAtomic(now, State.NEXT_N, to, NEXT_N, Bytes.COUNTER);
        Util.arrayCopyNonAtomic(now, State.NEXT_K, to, NEXT_K, Bytes.COUNTER);
        memory.state.balance(to, BALANCE);
        to[FREE] = countFree(now, State.SLOTS, Slot.COUNT);
        to[(short) (FREE + 1)] = countFree(now, State.ENTRIES, Entry.COUNT);
        to[PIN_TRIES] = now[State.PIN_TRIES];
        byte[] policy = memory.objects.get(Objects.POLICY);
        if (policy != null) {
            short payload = Layout.PAYLOAD;
            Util.arrayCopyNonAtomic(
                    policy, (short) (payload + Layout.POLICY_VERSION), to, POLICY_VERSION, Bytes.COUNTER);
            Util.arrayCopyNonAtomic(
                    policy, (short) (payload + Layout.POLICY_PAYEE_THRESHOLD), to, PAYEE_THRESHOLD, Bytes.AMOUNT);
        }
        return (short) FORM.length;
    }

    private static byte countFree(byte[] states, short at, short count) {
        byte free = 0;
        for (short i = 0; i < count; i++) {
            if (states[(short) (at + i)] == State.FREE) {
                free++;
            }
        }
        return free;
    }
}
