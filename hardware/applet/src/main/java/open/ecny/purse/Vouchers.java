package open.ecny.purse;

import javacard.framework.Util;

/** The 16 voucher slots, as the handlers look for them; an index of -1 is none. */
final class Vouchers {
    static final short NONE = -1;

    private static final short WRAPPED = 2 + Layout.VOUCHER;

    private final Memory memory;
    private final Hash hash;

    Vouchers(Memory memory, Hash hash) {
        this.memory = memory;
        this.hash = hash;
    }

    /** The first free slot. */
    short free() {
        for (short i = 0; i < Slot.COUNT; i++) {
            if (memory.slotState(i) == State.FREE) {
                return i;
            }
        }
        return NONE;
    }

    /** The slot whose Voucher answers the Request with this hash. */
    short ofRequest(byte[] request, short at) {
        for (short i = 0; i < Slot.COUNT; i++) {
            if (holds(i, Layout.VOUCHER_REQUEST_HASH, request, at, Layout.HASH)) {
                return i;
            }
        }
        return NONE;
    }

    /** The slot whose Voucher has this hash. */
    short ofVoucher(byte[] wanted, short at) {
        for (short i = 0; i < Slot.COUNT; i++) {
            if (memory.slotState(i) != State.FREE && isHash(i, wanted, at)) {
                return i;
            }
        }
        return NONE;
    }

    /** The slot whose Voucher has this counter and this hash. */
    short ofCounter(byte[] n, short nAt, byte[] wanted, short at) {
        for (short i = 0; i < Slot.COUNT; i++) {
            if (holds(i, Layout.TRANSFER_N, n, nAt, Bytes.COUNTER) && isHash(i, wanted, at)) {
                return i;
            }
        }
        return NONE;
    }

    /** Writes H(Voucher) of a slot, 32 bytes. */
    void hash(short index, byte[] to, short at) {
        hash.message(memory.slots[index].voucher, Layout.WRAPPED, WRAPPED, to, at);
    }

    private boolean isHash(short index, byte[] wanted, short at) {
        hash(index, memory.work, Memory.HASH);
        return Util.arrayCompare(memory.work, Memory.HASH, wanted, at, Layout.HASH) == 0;
    }

    /** The slot with the least counter above that of slot {@code last} (NONE: the least of all). */
    short next(short last) {
        short found = NONE;
        for (short i = 0; i < Slot.COUNT; i++) {
            boolean later = memory.slotState(i) != State.FREE && (last == NONE || compare(i, last) > 0);
            if (later && (found == NONE || compare(i, found) < 0)) {
                found = i;
            }
        }
        return found;
    }

    /** Whether a slot is not free and this field of its Voucher is these bytes. */
    boolean holds(short index, short field, byte[] value, short at, short width) {
        return memory.slotState(index) != State.FREE
                && Util.arrayCompare(memory.slots[index].voucher, place(field), value, at, width) == 0;
    }

    /** Where a field of the payload lies in the stored Voucher. */
    static short place(short field) {
        return (short) (Layout.PAYLOAD + field);
    }

    /** Copies the stored Voucher to the start of {@code to}; returns its size. */
    short answer(short index, byte[] to) {
        return Util.arrayCopyNonAtomic(
                memory.slots[index].voucher, (short) 0, to, (short) 0, Layout.SIGNED_VOUCHER);
    }

    private short compare(short left, short right) {
        short n = place(Layout.TRANSFER_N);
        return Bytes.compare(memory.slots[left].voucher, n, memory.slots[right].voucher, n, Bytes.COUNTER);
    }
}
