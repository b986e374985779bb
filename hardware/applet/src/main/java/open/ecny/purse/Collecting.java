package open.ecny.purse;

import javacard.framework.ISOException;
import javacard.framework.Util;

/**
 * COLLECT and REFUSE: an open Request goes once to COLLECTED, by the Voucher that answers it, or to REFUSED. What is
 * stored is answered for ever, on a blocked purse too.
 */
final class Collecting {
    /** Where the payer's and its operator's certificate lie behind a signed Voucher. */
    private static final short PAYER = Layout.SIGNED_VOUCHER;
    private static final short OPERATOR = PAYER + Layout.CERTIFICATE;
    private static final short VOUCHER = Layout.PAYLOAD;

    private static final short WRAPPED_VOUCHER = 2 + Layout.VOUCHER;

    private final Memory memory;
    private final Identity identity;
    private final Requests requests;
    private final Hash hash;
    private final Ecdsa ecdsa;
    private final Chain chain;

    Collecting(Memory memory, Identity identity, Requests requests, Hash hash, Ecdsa ecdsa, Chain chain) {
        this.memory = memory;
        this.identity = identity;
        this.requests = requests;
        this.hash = hash;
        this.ecdsa = ecdsa;
        this.chain = chain;
    }

    /** COLLECT of the signed Voucher at 0. */
    short collect(byte[] buffer) {
        Form.requireSigned(Form.VOUCHER, Layout.VOUCHER, buffer, (short) 0);
        Form.requireAmount(buffer, (short) (VOUCHER + Layout.TRANSFER_AMOUNT));
        hash.message(buffer, Layout.WRAPPED, WRAPPED_VOUCHER, memory.work, Memory.MESSAGE);
        short stored = requests.ofVoucher(memory.work, Memory.MESSAGE);
        if (stored != Requests.NONE) { // what is collected needs no certificate, whatever comes with it
            return requests.answerFinal(stored, buffer);
        }
        Chain.requireCanonical(buffer, PAYER);
        Chain.requireCanonical(buffer, OPERATOR);
        if (!identity.is(buffer, (short) (VOUCHER + Layout.TRANSFER_PAYEE))) {
            ISOException.throwIt(Words.WRONG_PURSE);
        }
        checkPayer(buffer);
        short entry = requests.require(buffer, (short) (VOUCHER + Layout.VOUCHER_REQUEST_HASH));
        if (memory.entryState(entry) != State.OPEN
                || !requests.asks( // labels 2 to 7: a purse cannot collect from one payer what it asked of another
                        entry,
                        Layout.TRANSFER_RUN,
                        buffer,
                        (short) (VOUCHER + Layout.TRANSFER_RUN),
                        Layout.TRANSFER_RUN_SIZE)) {
            ISOException.throwIt(Words.REQUEST_CLOSED);
        }
        return credit(buffer, entry);
    }

    /** PAYEE_CLASS, CERTIFICATE, SIGNATURE: this card verifies the Voucher and its payer itself (rule 7). */
    private void checkPayer(byte[] buffer) {
        if (!Chain.isOf(buffer, PAYER, Chain.PURSES)) {
            ISOException.throwIt(Words.CERTIFICATE);
        }
        if (isCardToCard(buffer) && !wasAsked(buffer)) {
            ISOException.throwIt(Words.PAYEE_CLASS);
        }
        chain.verifyParty(buffer, PAYER, OPERATOR, Chain.PURSES);
        chain.requireSubject(buffer, PAYER, buffer, (short) (VOUCHER + Layout.TRANSFER_PAYER));
        chain.requireEpoch(buffer, PAYER, buffer, (short) (VOUCHER + Layout.TRANSFER_EPOCH));
        if (!ecdsa.verify(buffer, PAYER, buffer, Layout.WRAPPED, WRAPPED_VOUCHER)) {
            ISOException.throwIt(Words.SIGNATURE);
        }
    }

    private boolean isCardToCard(byte[] buffer) {
        byte[] own = memory.objects.get(Objects.PURSE);
        return Chain.classOf(own, (short) 0) == Layout.CLASS_HARD_WALLET
                && Chain.classOf(buffer, PAYER) == Layout.CLASS_HARD_WALLET;
    }

    /** Whether the REQUEST that this Voucher answers came with the certificate of a hard wallet. */
    private boolean wasAsked(byte[] buffer) {
        short entry = requests.ofRequest(buffer, (short) (VOUCHER + Layout.VOUCHER_REQUEST_HASH));
        return entry != Requests.NONE && memory.entries[entry].payerClass[0] == Layout.CLASS_HARD_WALLET;
    }

    /** A load by the operator's purse is acknowledged inflow at once: the operator has seen it. */
    private short credit(byte[] buffer, short entry) {
        byte[] now = memory.state.now;
        short amount = (short) (VOUCHER + Layout.TRANSFER_AMOUNT);
        Bytes.add(now, State.IN, buffer, amount, now, State.IN, Bytes.AMOUNT);
        if (Chain.classOf(buffer, PAYER) == Layout.CLASS_OPERATOR_PURSE) {
            Bytes.add(now, State.IN_ACKED, buffer, amount, now, State.IN_ACKED, Bytes.AMOUNT);
        }
        short receipt = Form.laySigned(Form.RECEIPT, Layout.RECEIPT, buffer, Layout.ANSWER);
        Util.arrayCopyNonAtomic(
                memory.work, Memory.MESSAGE, buffer, (short) (receipt + Layout.ANSWER_HASH), Layout.HASH);
        Util.arrayCopyNonAtomic(now, State.IN, buffer, (short) (receipt + Layout.RECEIPT_IN), Bytes.AMOUNT);
        Util.arrayCopyNonAtomic(now, State.OUT, buffer, (short) (receipt + Layout.RECEIPT_OUT), Bytes.AMOUNT);
        Util.arrayCopyNonAtomic(
                now, State.REVERSED, buffer, (short) (receipt + Layout.RECEIPT_REVERSED), Bytes.AMOUNT);
        return finish(buffer, receipt, Layout.RECEIPT, entry, State.COLLECTED);
    }

    /** REFUSE of the Request whose hash is at 0. */
    short refuse(byte[] buffer) {
        short entry = requests.require(buffer, (short) 0);
        byte was = memory.entryState(entry);
        if (was == State.REFUSED) {
            return requests.answerFinal(entry, buffer);
        }
        if (was != State.OPEN) {
            ISOException.throwIt(Words.REQUEST_CLOSED);
        }
        short refusal = Form.laySigned(Form.REFUSAL, Layout.REFUSAL, buffer, Layout.ANSWER);
        Util.arrayCopyNonAtomic(buffer, (short) 0, buffer, (short) (refusal + Layout.ANSWER_HASH), Layout.HASH);
        return finish(buffer, refusal, Layout.REFUSAL, entry, State.REFUSED);
    }

    /** Names this purse and k, signs, copies beside the OPEN Request, commits, answers what is stored (rule 3). */
    private short finish(byte[] buffer, short answer, short size, short entry, byte to) {
        Entry place = memory.entries[entry];
        Util.arrayCopyNonAtomic(
                identity.id(), (short) 0, buffer, (short) (answer + Layout.ANSWER_PAYEE), Layout.ID);
        Util.arrayCopyNonAtomic(
                place.request,
                Requests.place(Layout.TRANSFER_K),
                buffer,
                (short) (answer + Layout.ANSWER_K),
                Bytes.COUNTER);
        ecdsa.sign(buffer, (short) (Layout.ANSWER + Layout.WRAPPED), (short) (2 + size));
        short signed = (short) (Layout.PAYLOAD + size + Layout.SIGNATURE_HEAD + Layout.SIGNATURE);
        Util.arrayCopyNonAtomic(buffer, Layout.ANSWER, place.answer, (short) 0, signed);
        memory.setEntryState(entry, to);
        memory.state.commit();
        return requests.answerFinal(entry, buffer);
    }
}
