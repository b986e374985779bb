package open.ecny.purse;

import javacard.framework.ISOException;
import javacard.framework.Util;

/**
 * GRANT: the operator has seen what this purse did; limits count anew, and what is final makes room. Totals become
 * the maximum of old and new and never pass the purse's own, so a grant that is sent again changes nothing.
 */
final class Granting {
    private static final short GRANT = Layout.PAYLOAD;
    private static final short OUTCOME_STATE = 4;

    private final Memory memory;
    private final Identity identity;
    private final Policy policy;
    private final Ecdsa ecdsa;

    Granting(Memory memory, Identity identity, Policy policy, Ecdsa ecdsa) {
        this.memory = memory;
        this.identity = identity;
        this.policy = policy;
        this.ecdsa = ecdsa;
    }

    /** GRANT of the signed Grant at 0. */
    void grant(byte[] buffer) {
        Form.requireSigned(Form.GRANT, Layout.GRANT, buffer, (short) 0);
        Form.requireAmount(buffer, (short) (GRANT + Layout.GRANT_OUT_ACKED));
        Form.requireAmount(buffer, (short) (GRANT + Layout.GRANT_IN_ACKED));
        if (!identity.is(buffer, (short) (GRANT + Layout.GRANT_PURSE))
                || !memory.state.isEpoch(buffer, (short) (GRANT + Layout.GRANT_EPOCH))) {
            ISOException.throwIt(Words.WRONG_PURSE);
        }
        byte[] operator = memory.objects.get(Objects.OPERATOR);
        if (!ecdsa.verify(operator, (short) 0, buffer, Layout.WRAPPED, (short) (2 + Layout.GRANT))) {
            ISOException.throwIt(Words.SIGNATURE);
        }
        policy.version(memory.work, Memory.OTHER);
        if (Bytes.compare(
                        memory.work,
                        Memory.OTHER,
                        buffer,
                        (short) (GRANT + Layout.GRANT_POLICY_VERSION),
                        Bytes.COUNTER) < 0) {
            ISOException.throwIt(Words.POLICY_OLD);
        }
        apply(buffer);
    }

    private void apply(byte[] buffer) {
        raise(State.OUT_ACKED, buffer, Layout.GRANT_OUT_ACKED, State.OUT, Bytes.AMOUNT);
        raise(State.IN_ACKED, buffer, Layout.GRANT_IN_ACKED, State.IN, Bytes.AMOUNT);
        raise(State.N_ACKED, buffer, Layout.GRANT_N_ACKED, State.NEXT_N, Bytes.COUNTER);
        for (short i = 0; i < Slot.COUNT; i++) {
            if (mayGo(i, buffer)) {
                memory.setSlotState(i, State.FREE);
            }
        }
        for (short i = 0; i < Entry.COUNT; i++) {
            byte is = memory.entryState(i);
            if (is != State.FREE && is != State.OPEN && isClosed(i, buffer)) {
                memory.setEntryState(i, State.FREE);
            }
        }
        memory.state.commit();
    }

    /** number = max(number, min(granted, own)). */
    private void raise(short number, byte[] buffer, short field, short own, short width) {
        byte[] now = memory.state.now;
        short granted = (short) (GRANT + field);
        boolean tooMuch = Bytes.compare(buffer, granted, now, own, width) > 0;
        byte[] from = tooMuch ? now : buffer;
        short at = tooMuch ? own : granted;
        if (Bytes.compare(from, at, now, number, width) > 0) {
            Util.arrayCopyNonAtomic(from, at, now, number, width);
        }
    }

    /** A slot goes with the outcome that it has; one that is PENDING only where it was collected. */
    private boolean mayGo(short slot, byte[] buffer) {
        byte is = memory.slotState(slot);
        if (is == State.FREE) {
            return false;
        }
        byte outcome = outcomeOf(memory.slots[slot].voucher, buffer);
        return outcome == (is == State.PENDING ? State.COLLECTED : is);
    }

    /** The outcome named for the counter of this Voucher, 0 for none. Of two for one counter the last one counts. */
    private byte outcomeOf(byte[] voucher, byte[] buffer) {
        short line = (short) (GRANT + Layout.GRANT_OUTCOMES + Slot.COUNT * Layout.GRANT_OUTCOME);
        for (short i = 0; i < Slot.COUNT; i++) {
            line -= Layout.GRANT_OUTCOME;
            if (Util.arrayCompare(buffer, line, voucher, Vouchers.place(Layout.TRANSFER_N), Bytes.COUNTER) == 0) {
                return buffer[(short) (line + OUTCOME_STATE)];
            }
        }
        return 0;
    }

    private boolean isClosed(short entry, byte[] buffer) {
        short k = (short) (GRANT + Layout.GRANT_CLOSED);
        for (short i = 0; i < Entry.COUNT; i++) {
            if (Util.arrayCompare(
                            buffer,
                            k,
                            memory.entries[entry].request,
                            Requests.place(Layout.TRANSFER_K),
                            Bytes.COUNTER) == 0) {
                return true;
            }
            k += Bytes.COUNTER;
        }
        return false;
    }
}
