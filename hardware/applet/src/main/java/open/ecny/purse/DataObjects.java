package open.ecny.purse;

import javacard.framework.ISOException;
import javacard.framework.Util;

/** GET DATA: what anybody may read, with no PIN and in every state of life (docs/spec/apdu.md, <em>GET DATA</em>). */
final class DataObjects {
    private static final short PURSE_CERTIFICATE = 0x7F21;
    private static final short OPERATOR_CERTIFICATE = 0x7F22;
    private static final short AUTHORITY_CERTIFICATE = 0x7F23;
    private static final short POLICY = (short) 0xDF01;
    private static final short TOTALS = (short) 0xDF02;
    private static final short SLOTS = (short) 0xDF03;
    private static final short SERIAL = (short) 0xDF04;

    private final Memory memory;

    DataObjects(Memory memory) {
        this.memory = memory;
    }

    /** Writes the object of tag {@code p1 ‖ p2} to the start of {@code to}; returns its size. Throws NOT_FOUND. */
    short get(byte p1, byte p2, byte[] to) {
        switch (Util.makeShort(p1, p2)) {
            case PURSE_CERTIFICATE:
                return stored(Objects.PURSE, to);
            case OPERATOR_CERTIFICATE:
                return stored(Objects.OPERATOR, to);
            case AUTHORITY_CERTIFICATE:
                return stored(Objects.AUTHORITY, to);
            case POLICY:
                return stored(Objects.POLICY, to);
            case TOTALS:
                return totals(memory.state.now, to);
            case SLOTS:
                return slots(to);
            case SERIAL:
                return Util.arrayCopyNonAtomic(memory.serial, (short) 0, to, (short) 0, Memory.SERIAL);
            default:
                ISOException.throwIt(Words.NOT_FOUND);
                return 0;
        }
    }

    private short stored(byte target, byte[] to) {
        byte[] content = memory.objects.get(target);
        if (content == null) {
            ISOException.throwIt(Words.NOT_FOUND);
        }
        return Util.arrayCopyNonAtomic(content, (short) 0, to, (short) 0, Objects.size(target));
    }

    private static short totals(byte[] now, byte[] to) {
        short at = Util.arrayCopyNonAtomic(now, State.IN, to, (short) 0, Bytes.AMOUNT);
        at = Util.arrayCopyNonAtomic(now, State.OUT, to, at, Bytes.AMOUNT);
        at = Util.arrayCopyNonAtomic(now, State.REVERSED, to, at, Bytes.AMOUNT);
        at = Util.arrayCopyNonAtomic(now, State.OUT_ACKED, to, at, Bytes.AMOUNT);
        at = Util.arrayCopyNonAtomic(now, State.IN_ACKED, to, at, Bytes.AMOUNT);
        at = Util.arrayCopyNonAtomic(now, State.UNVERIFIED, to, at, Bytes.AMOUNT);
        at = Util.arrayCopyNonAtomic(now, State.EPOCH, to, at, Bytes.COUNTER);
        at = Util.arrayCopyNonAtomic(now, State.NEXT_N, to, at, Bytes.COUNTER);
        at = Util.arrayCopyNonAtomic(now, State.NEXT_K, to, at, Bytes.COUNTER);
        return Util.arrayCopyNonAtomic(now, State.N_ACKED, to, at, Bytes.COUNTER);
    }

    /** State and n of each slot, n zeros where it is free: no payee and no amount without a PIN. */
    private short slots(byte[] to) {
        short at = 0;
        for (short i = 0; i < Slot.COUNT; i++) {
            byte slotState = memory.slotState(i);
            to[at++] = slotState;
            if (slotState == State.FREE) {
                at = Util.arrayFillNonAtomic(to, at, Bytes.COUNTER, (byte) 0);
            } else {
                short n = (short) (Layout.PAYLOAD + Layout.TRANSFER_N);
                at = Util.arrayCopyNonAtomic(memory.slots[i].voucher, n, to, at, Bytes.COUNTER);
            }
        }
        return at;
    }
}
