package open.ecny.purse;

import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;

/**
 * The state record: what one commit makes durable.
 *
 * <p>A command works on {@code now}, a transient image that {@code load} takes before it; {@code commit} writes the
 * image over the record in one transaction. So a command that throws has changed nothing, and a card that is torn
 * holds the record before or the record after (transfer.md, rule 3). All that states speak of (vouchers, Requests,
 * objects) is written before the commit, into places that no state points to yet.
 */
final class State {
    // Offsets. What one command changes lies together, so that its commit is short.
    static final short LIFECYCLE = 0;
    static final short HAS_KEY = 1;
    /** The bank in force of each object of STORE DATA (0 none, 1 or 2), in the order of its P1. */
    static final short BANKS = 2;
    static final short EPOCH = 8;
    static final short OUT_ACKED = 12;
    static final short N_ACKED = 20;
    static final short PIN_TRIES = 24;
    static final short UNVERIFIED = 25;
    static final short OUT = 33;
    static final short NEXT_N = 41;
    /** One byte each. */
    static final short SLOTS = 45;
    static final short REVERSED = 61;
    /** One byte each. */
    static final short ENTRIES = 69;
    static final short NEXT_K = 77;
    static final short IN = 81;
    static final short IN_ACKED = 89;
    static final short SIZE = 97;

    // Life cycle.
    static final byte BLANK = 0;
    static final byte PERSONALISED = 1;
    static final byte ACTIVE = 2;
    static final byte BLOCKED = 3;
    static final byte TERMINATED = 4;

    /** Of a slot and of an entry. */
    static final byte FREE = 0;

    // Of a slot: PENDING goes once to one of the others.
    static final byte PENDING = 1;
    static final byte COLLECTED = 2;
    static final byte REVERSED_SLOT = 3;

    // Of an entry of the table of Requests: OPEN goes once to COLLECTED or REFUSED.
    static final byte OPEN = 1;
    static final byte REFUSED = 3;

    static final byte TRIES = 3;

    /** The image of the record that commands read and change. */
    final byte[] now;

    private final byte[] record;

    /** Throws WRONG_STATE on a chip whose commit buffer is too small: it would pay, and never take a grant. */
    State() {
        if (JCSystem.getMaxCommitCapacity() < SIZE) {
            ISOException.throwIt(Words.WRONG_STATE);
        }
        record = new byte[SIZE];
        now = JCSystem.makeTransientByteArray(SIZE, JCSystem.CLEAR_ON_DESELECT);
        record[PIN_TRIES] = TRIES;
        record[(short) (EPOCH + 3)] = 1; // counters start at 1
        record[(short) (NEXT_N + 3)] = 1;
        record[(short) (NEXT_K + 3)] = 1;
        record[(short) (N_ACKED + 3)] = 1;
    }

    /** Takes the record as it is; before each command. */
    void load() {
        Util.arrayCopyNonAtomic(record, (short) 0, now, (short) 0, SIZE);
    }

    /**
     * Makes the image durable: the one moment at which a command has happened. From the first byte that differs to the
     * last is one stretch and one write: 36 bytes at most for a payment. An image that is the record writes nothing.
     */
    void commit() {
        short from = 0;
        while (from < SIZE && now[from] == record[from]) {
            from++;
        }
        if (from == SIZE) {
            return;
        }
        short last = SIZE - 1;
        while (now[last] == record[last]) {
            last--;
        }
        JCSystem.beginTransaction();
        Util.arrayCopy(now, from, record, from, (short) (last - from + 1));
        JCSystem.commitTransaction();
    }

    byte lifecycle() {
        return now[LIFECYCLE];
    }

    boolean hasKey() {
        return now[HAS_KEY] != 0;
    }

    /** Whether the counter at {@code counter} has passed its last value, 2^32 - 2. */
    boolean isExhausted(short counter) {
        return Bytes.isFull(now, counter);
    }

    /** Whether the 4 bytes are this purse's epoch. */
    boolean isEpoch(byte[] other, short at) {
        return Util.arrayCompare(other, at, now, EPOCH, Bytes.COUNTER) == 0;
    }

    /** Writes in + reversed - out, 8 bytes, to {@code to}. */
    void balance(byte[] to, short at) {
        Bytes.add(now, IN, now, REVERSED, to, at, Bytes.AMOUNT);
        Bytes.subtract(to, at, now, OUT, to, at, Bytes.AMOUNT);
    }
}
