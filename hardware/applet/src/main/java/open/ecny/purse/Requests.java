package open.ecny.purse;

import javacard.framework.ISOException;
import javacard.framework.Util;

/** The table of this purse's own Requests, 8 entries, as the handlers look for them; an index of -1 is none. */
final class Requests {
    static final short NONE = -1;

    private static final short WRAPPED = 2 + Layout.REQUEST;

    private final Memory memory;
    private final Hash hash;

    Requests(Memory memory, Hash hash) {
        this.memory = memory;
        this.hash = hash;
    }

    /** The first free entry. */
    short free() {
        for (short i = 0; i < Entry.COUNT; i++) {
            if (memory.entryState(i) == State.FREE) {
                return i;
            }
        }
        return NONE;
    }

    /** The entry with this H(Request). */
    short ofRequest(byte[] wanted, short at) {
        for (short i = 0; i < Entry.COUNT; i++) {
            if (memory.entryState(i) != State.FREE) {
                hash(i, memory.work, Memory.HASH);
                if (Util.arrayCompare(memory.work, Memory.HASH, wanted, at, Layout.HASH) == 0) {
                    return i;
                }
            }
        }
        return NONE;
    }

    /** Writes H(Request) of an entry, 32 bytes. */
    void hash(short index, byte[] to, short at) {
        hash.message(memory.entries[index].request, Layout.WRAPPED, WRAPPED, to, at);
    }

    /** The same; throws REQUEST_CLOSED for none: what is not in the table is closed (transfer.md, rule 5). */
    short require(byte[] wanted, short at) {
        short index = ofRequest(wanted, at);
        if (index == NONE) {
            ISOException.throwIt(Words.REQUEST_CLOSED);
        }
        return index;
    }

    /** The collected entry whose Receipt is of the Voucher with this hash. */
    short ofVoucher(byte[] wanted, short at) {
        for (short i = 0; i < Entry.COUNT; i++) {
            if (memory.entryState(i) == State.COLLECTED
                    && Util.arrayCompare(
                            memory.entries[i].answer, place(Layout.ANSWER_HASH), wanted, at, Layout.HASH) == 0) {
                return i;
            }
        }
        return NONE;
    }

    /** The entry that is not free with the least k above that of entry {@code last} (NONE: the least of all). */
    short next(short last) {
        short found = NONE;
        for (short i = 0; i < Entry.COUNT; i++) {
            boolean later = memory.entryState(i) != State.FREE && (last == NONE || compare(i, last) > 0);
            if (later && (found == NONE || compare(i, found) < 0)) {
                found = i;
            }
        }
        return found;
    }

    /** Adds the amounts of all OPEN Requests to the number: headroom that is reserved. */
    void addOpen(byte[] number, short at) {
        for (short i = 0; i < Entry.COUNT; i++) {
            if (memory.entryState(i) == State.OPEN) {
                byte[] request = memory.entries[i].request;
                Bytes.add(number, at, request, place(Layout.TRANSFER_AMOUNT), number, at, Bytes.AMOUNT);
            }
        }
    }

    /** Whether this field of the stored Request is these bytes. */
    boolean asks(short index, short field, byte[] value, short at, short width) {
        return Util.arrayCompare(memory.entries[index].request, place(field), value, at, width) == 0;
    }

    /** Where a field of the payload lies in a stored message. */
    static short place(short field) {
        return (short) (Layout.PAYLOAD + field);
    }

    /** Copies the stored Request to the start of {@code to}; returns its size. */
    short answerRequest(short index, byte[] to) {
        return Util.arrayCopyNonAtomic(
                memory.entries[index].request, (short) 0, to, (short) 0, Layout.SIGNED_REQUEST);
    }

    /** Copies the stored Receipt or Refusal of a final entry to the start of {@code to}; returns its size. */
    short answerFinal(short index, byte[] to) {
        short size = memory.entryState(index) == State.COLLECTED ? Layout.SIGNED_RECEIPT : Layout.SIGNED_REFUSAL;
        return Util.arrayCopyNonAtomic(memory.entries[index].answer, (short) 0, to, (short) 0, size);
    }

    private short compare(short left, short right) {
        short k = place(Layout.TRANSFER_K);
        return Bytes.compare(memory.entries[left].request, k, memory.entries[right].request, k, Bytes.COUNTER);
    }
}
