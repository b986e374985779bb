package open.ecny.purse;

import javacard.framework.ISOException;

/**
 * ACKNOWLEDGE and REVERSE: a slot leaves PENDING once, by an outcome that this card has verified itself (rule 6). An
 * outcome that the slot has already is done once more without a trace, whatever comes with it.
 */
final class Ending {
    private static final short MESSAGE = Layout.PAYLOAD;

    private final Memory memory;
    private final Identity identity;
    private final Vouchers vouchers;
    private final Ecdsa ecdsa;
    private final Chain chain;

    Ending(Memory memory, Identity identity, Vouchers vouchers, Ecdsa ecdsa, Chain chain) {
        this.memory = memory;
        this.identity = identity;
        this.vouchers = vouchers;
        this.ecdsa = ecdsa;
        this.chain = chain;
    }

    /** ACKNOWLEDGE of the signed Receipt at 0. */
    void acknowledge(byte[] buffer) {
        Form.requireSigned(Form.RECEIPT, Layout.RECEIPT, buffer, (short) 0);
        Form.requireAmount(buffer, (short) (MESSAGE + Layout.RECEIPT_IN));
        Form.requireAmount(buffer, (short) (MESSAGE + Layout.RECEIPT_OUT));
        Form.requireAmount(buffer, (short) (MESSAGE + Layout.RECEIPT_REVERSED));
        short slot = vouchers.ofVoucher(buffer, (short) (MESSAGE + Layout.ANSWER_HASH));
        end(buffer, Layout.RECEIPT, slot, State.COLLECTED);
    }

    /** ACKNOWLEDGE of the signed Refusal at 0. */
    void acknowledgeRefusal(byte[] buffer) {
        Form.requireSigned(Form.REFUSAL, Layout.REFUSAL, buffer, (short) 0);
        short slot = vouchers.ofRequest(buffer, (short) (MESSAGE + Layout.ANSWER_HASH));
        end(buffer, Layout.REFUSAL, slot, State.REVERSED_SLOT);
    }

    /**
     * Only a purse decides for itself: of a till, whose class has no secure element, nothing is believed
     * (CERTIFICATE).
     */
    private void end(byte[] buffer, short size, short slot, byte outcome) {
        if (slot != Vouchers.NONE && memory.slotState(slot) == outcome) {
            return;
        }
        short payee = (short) (Layout.PAYLOAD + size + Layout.SIGNATURE_HEAD + Layout.SIGNATURE);
        short operator = (short) (payee + Layout.CERTIFICATE);
        short said = (short) (MESSAGE + Layout.ANSWER_PAYEE);
        Chain.requireCanonical(buffer, payee);
        Chain.requireCanonical(buffer, operator);
        if (slot != Vouchers.NONE && !vouchers.holds(slot, Layout.TRANSFER_PAYEE, buffer, said, Layout.ID)) {
            ISOException.throwIt(Words.WRONG_PURSE);
        }
        chain.verifyParty(buffer, payee, operator, Chain.PURSES);
        chain.requireSubject(buffer, payee, buffer, said);
        if (!ecdsa.verify(buffer, payee, buffer, Layout.WRAPPED, (short) (2 + size))) {
            ISOException.throwIt(Words.SIGNATURE);
        }
        finish(slot, outcome);
    }

    /** REVERSE by the signed order of this purse's own operator at 0. */
    void reverse(byte[] buffer) {
        Form.requireSigned(Form.ORDER, Layout.ORDER, buffer, (short) 0);
        if (!identity.is(buffer, (short) (MESSAGE + Layout.ORDER_PAYER))
                || !memory.state.isEpoch(buffer, (short) (MESSAGE + Layout.ORDER_EPOCH))) {
            ISOException.throwIt(Words.WRONG_PURSE);
        }
        short n = (short) (MESSAGE + Layout.ORDER_N);
        short slot = vouchers.ofCounter(buffer, n, buffer, (short) (MESSAGE + Layout.ORDER_VOUCHER_HASH));
        if (slot != Vouchers.NONE && memory.slotState(slot) == State.REVERSED_SLOT) {
            return;
        }
        byte[] operator = memory.objects.get(Objects.OPERATOR);
        if (!ecdsa.verify(operator, (short) 0, buffer, Layout.WRAPPED, (short) (2 + Layout.ORDER))) {
            ISOException.throwIt(Words.SIGNATURE);
        }
        finish(slot, State.REVERSED_SLOT);
    }

    /** A reversal gives the amount back, and no counter that bounds exposure (rule 14). */
    private void finish(short slot, byte outcome) {
        if (slot == Vouchers.NONE) {
            ISOException.throwIt(Words.NOT_FOUND);
        }
        if (memory.slotState(slot) != State.PENDING) {
            ISOException.throwIt(Words.OUTCOME_FINAL);
        }
        memory.setSlotState(slot, outcome);
        if (outcome == State.REVERSED_SLOT) {
            byte[] now = memory.state.now;
            byte[] voucher = memory.slots[slot].voucher;
            Bytes.add(
                    now,
                    State.REVERSED,
                    voucher,
                    Vouchers.place(Layout.TRANSFER_AMOUNT),
                    now,
                    State.REVERSED,
                    Bytes.AMOUNT);
        }
        memory.state.commit();
    }
}
