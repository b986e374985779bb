package open.ecny.purse;

import javacard.framework.Util;

/** REPORT: this purse signs what it holds, afresh each time; nothing has to be kept, so nothing is committed. */
final class Reporting {
    private static final short REPORT = Layout.REPORT_PAYLOAD;
    private static final short LINE_STATE = 4;
    private static final short LINE_HASH = 5;

    private final Memory memory;
    private final Identity identity;
    private final Policy policy;
    private final Vouchers vouchers;
    private final Requests requests;
    private final Ecdsa ecdsa;

    Reporting(
            Memory memory, Identity identity, Policy policy, Vouchers vouchers, Requests requests, Ecdsa ecdsa) {
        this.memory = memory;
        this.identity = identity;
        this.policy = policy;
        this.vouchers = vouchers;
        this.requests = requests;
        this.ecdsa = ecdsa;
    }

    /** Writes the signed Report to the start of the buffer; returns its size. */
    short report(byte[] buffer) {
        Util.arrayFillNonAtomic(buffer, (short) 0, Layout.SIGNED_REPORT, (byte) 0); // lines that are free are zeros
        Form.laySigned(Form.REPORT, Layout.REPORT, buffer, (short) 0);
        Util.arrayCopyNonAtomic(
                identity.id(), (short) 0, buffer, (short) (REPORT + Layout.REPORT_PURSE), Layout.ID);
        copy(State.EPOCH, buffer, Layout.REPORT_EPOCH, Bytes.COUNTER);
        copy(State.NEXT_N, buffer, Layout.REPORT_NEXT_N, Bytes.COUNTER);
        copy(State.NEXT_K, buffer, Layout.REPORT_NEXT_K, Bytes.COUNTER);
        policy.version(buffer, (short) (REPORT + Layout.REPORT_POLICY_VERSION));
        copy(State.IN, buffer, Layout.REPORT_IN, Bytes.AMOUNT);
        copy(State.OUT, buffer, Layout.REPORT_OUT, Bytes.AMOUNT);
        copy(State.REVERSED, buffer, Layout.REPORT_REVERSED, Bytes.AMOUNT);
        copy(State.OUT_ACKED, buffer, Layout.REPORT_OUT_ACKED, Bytes.AMOUNT);
        copy(State.IN_ACKED, buffer, Layout.REPORT_IN_ACKED, Bytes.AMOUNT);
        writeSlots(buffer);
        writeEntries(buffer);
        buffer[(short) (REPORT + Layout.REPORT_LIFECYCLE)] = memory.state.lifecycle();
        ecdsa.sign(buffer, Layout.WRAPPED, (short) (REPORT - Layout.WRAPPED + Layout.REPORT));
        return Layout.SIGNED_REPORT;
    }

    private void copy(short from, byte[] buffer, short field, short width) {
        Util.arrayCopyNonAtomic(memory.state.now, from, buffer, (short) (REPORT + field), width);
    }

    private void writeSlots(byte[] buffer) {
        short line = (short) (REPORT + Layout.REPORT_SLOTS);
        for (short i = vouchers.next(Vouchers.NONE); i != Vouchers.NONE; i = vouchers.next(i)) {
            Util.arrayCopyNonAtomic(
                    memory.slots[i].voucher, Vouchers.place(Layout.TRANSFER_N), buffer, line, Bytes.COUNTER);
            buffer[(short) (line + LINE_STATE)] = memory.slotState(i);
            vouchers.hash(i, buffer, (short) (line + LINE_HASH));
            line += Layout.REPORT_LINE;
        }
    }

    /** H(Voucher) where the entry is collected, else H(Request). */
    private void writeEntries(byte[] buffer) {
        short line = (short) (REPORT + Layout.REPORT_ENTRIES);
        for (short i = requests.next(Requests.NONE); i != Requests.NONE; i = requests.next(i)) {
            Entry entry = memory.entries[i];
            short shown = (short) (line + LINE_HASH);
            Util.arrayCopyNonAtomic(
                    entry.request, Requests.place(Layout.TRANSFER_K), buffer, line, Bytes.COUNTER);
            buffer[(short) (line + LINE_STATE)] = memory.entryState(i);
            if (memory.entryState(i) == State.COLLECTED) {
                Util.arrayCopyNonAtomic(
                        entry.answer, Requests.place(Layout.ANSWER_HASH), buffer, shown, Layout.HASH);
            } else {
                requests.hash(i, buffer, shown);
            }
            line += Layout.REPORT_LINE;
        }
    }
}
