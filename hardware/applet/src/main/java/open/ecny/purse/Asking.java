package open.ecny.purse;

import javacard.framework.ISOException;
import javacard.framework.Util;

/**
 * REQUEST: this purse asks a payer for an amount, and reserves the headroom that the amount will need. The same
 * question while it is open answers the same bytes. With the payer's certificate it is also the gate of what may be
 * paid card to card.
 */
final class Asking {
    /** Where the payer's and its operator's certificate lie behind the question. */
    private static final short PAYER = Layout.QUESTION;
    private static final short OPERATOR = PAYER + Layout.CERTIFICATE;

    private static final short WRAPPED_REQUEST = 2 + Layout.REQUEST;

    private final Memory memory;
    private final Identity identity;
    private final Policy policy;
    private final Requests requests;
    private final Ecdsa ecdsa;
    private final Chain chain;

    Asking(Memory memory, Identity identity, Policy policy, Requests requests, Ecdsa ecdsa, Chain chain) {
        this.memory = memory;
        this.identity = identity;
        this.policy = policy;
        this.requests = requests;
        this.ecdsa = ecdsa;
        this.chain = chain;
    }

    /** REQUEST of the question at 0. */
    short request(byte[] buffer) {
        Form.requireAmount(buffer, Layout.QUESTION_AMOUNT);
        short same = find(buffer, Entry.UNVERIFIED);
        if (same != Requests.NONE) {
            return requests.answerRequest(same, buffer);
        }
        return finish(buffer, begin(), Entry.UNVERIFIED);
    }

    /** REQUEST with the payer's certificate, whose class is remembered beside the Request. */
    short requestVerified(byte[] buffer) {
        Form.requireAmount(buffer, Layout.QUESTION_AMOUNT);
        Chain.requireCanonical(buffer, PAYER);
        Chain.requireCanonical(buffer, OPERATOR);
        byte payerClass = Chain.classOf(buffer, PAYER);
        short same = find(buffer, payerClass);
        if (same != Requests.NONE) {
            return requests.answerRequest(same, buffer);
        }
        short entry = begin();
        if (!policy.allows(Layout.POLICY_PAYER_CLASSES, payerClass)) {
            ISOException.throwIt(Words.PAYEE_CLASS);
        }
        chain.verifyParty(buffer, PAYER, OPERATOR, Chain.PURSES);
        chain.requireSubject(buffer, PAYER, buffer, Layout.QUESTION_PAYER);
        chain.requireEpoch(buffer, PAYER, buffer, Layout.QUESTION_EPOCH);
        return finish(buffer, entry, payerClass);
    }

    /** The open Request that asks this; with a certificate only one that was asked with a certificate of that class. */
    private short find(byte[] buffer, byte payerClass) {
        for (short i = 0; i < Entry.COUNT; i++) {
            if (memory.entryState(i) == State.OPEN
                    && (payerClass == Entry.UNVERIFIED || memory.entries[i].payerClass[0] == payerClass)
                    && requests.asks(i, Layout.TRANSFER_PAYER, buffer, Layout.QUESTION_PAYER, Layout.ID)
                    && requests.asks(i, Layout.TRANSFER_EPOCH, buffer, Layout.QUESTION_EPOCH, Bytes.COUNTER)
                    && requests.asks(i, Layout.TRANSFER_N, buffer, Layout.QUESTION_N, Bytes.COUNTER)
                    && requests.asks(i, Layout.TRANSFER_AMOUNT, buffer, Layout.QUESTION_AMOUNT, Bytes.AMOUNT)
                    && requests.asks(i, Layout.REQUEST_ORDER_HASH, buffer, Layout.QUESTION_ORDER_HASH, Layout.HASH)) {
                return i;
            }
        }
        return Requests.NONE;
    }

    /** The reasons from WRONG_STATE to COUNTERS_EXHAUSTED; returns the entry that is free. */
    private short begin() {
        if (memory.state.lifecycle() != State.ACTIVE) {
            ISOException.throwIt(Words.WRONG_STATE);
        }
        if (policy.wantsStrongerSuite()) {
            ISOException.throwIt(Words.SUITE);
        }
        short entry = requests.free();
        if (entry == Requests.NONE) {
            ISOException.throwIt(Words.SLOTS_FULL);
        }
        if (memory.state.isExhausted(State.NEXT_K)) {
            ISOException.throwIt(Words.COUNTERS_EXHAUSTED);
        }
        return entry;
    }

    /** The reasons from SELF_PAYMENT to PIN_BLOCKED; then sign, copy into the free entry, commit, answer (rule 3). */
    private short finish(byte[] buffer, short entry, byte payerClass) {
        if (identity.is(buffer, Layout.QUESTION_PAYER)) {
            ISOException.throwIt(Words.SELF_PAYMENT);
        }
        checkLimits(buffer);
        if (memory.state.now[State.PIN_TRIES] == 0) {
            ISOException.throwIt(Words.PIN_BLOCKED);
        }
        write(buffer);
        Entry to = memory.entries[entry];
        Util.arrayCopyNonAtomic(buffer, Layout.ANSWER, to.request, (short) 0, Layout.SIGNED_REQUEST);
        Util.arrayFillNonAtomic(to.payerClass, (short) 0, (short) 1, payerClass);
        memory.setEntryState(entry, State.OPEN);
        Bytes.increment(memory.state.now, State.NEXT_K, Bytes.COUNTER);
        memory.state.commit();
        return requests.answerRequest(entry, buffer);
    }

    /** Rule 5: balance, what is open, and this amount stay within the limit; and within what a purse can count. */
    private void checkLimits(byte[] buffer) {
        byte[] now = memory.state.now;
        byte[] work = memory.work;
        Bytes.add(now, State.IN, buffer, Layout.QUESTION_AMOUNT, work, Memory.SUM, Bytes.AMOUNT);
        requests.addOpen(work, Memory.SUM);
        if (Bytes.isZero(buffer, Layout.QUESTION_AMOUNT, Bytes.AMOUNT) || !Bytes.isAmount(work, Memory.SUM)) {
            ISOException.throwIt(Words.AMOUNT);
        }
        Bytes.add(work, Memory.SUM, now, State.REVERSED, work, Memory.SUM, Bytes.AMOUNT);
        Bytes.subtract(work, Memory.SUM, now, State.OUT, work, Memory.SUM, Bytes.AMOUNT);
        if (policy.isAbove(Layout.POLICY_BALANCE_LIMIT, work, Memory.SUM, Bytes.AMOUNT)) {
            ISOException.throwIt(Words.BALANCE_LIMIT);
        }
    }

    /** Builds and signs the Request behind the command. */
    private void write(byte[] buffer) {
        short request = Form.laySigned(Form.REQUEST, Layout.REQUEST, buffer, Layout.ANSWER);
        copy(buffer, Layout.QUESTION_PAYER, request, Layout.TRANSFER_PAYER, Layout.ID);
        copy(buffer, Layout.QUESTION_EPOCH, request, Layout.TRANSFER_EPOCH, Bytes.COUNTER);
        copy(buffer, Layout.QUESTION_N, request, Layout.TRANSFER_N, Bytes.COUNTER);
        copy(buffer, Layout.QUESTION_AMOUNT, request, Layout.TRANSFER_AMOUNT, Bytes.AMOUNT);
        copy(buffer, Layout.QUESTION_ORDER_HASH, request, Layout.REQUEST_ORDER_HASH, Layout.HASH);
        Util.arrayCopyNonAtomic(
                identity.id(), (short) 0, buffer, (short) (request + Layout.TRANSFER_PAYEE), Layout.ID);
        Util.arrayCopyNonAtomic(
                memory.state.now, State.NEXT_K, buffer, (short) (request + Layout.TRANSFER_K), Bytes.COUNTER);
        ecdsa.sign(buffer, (short) (Layout.ANSWER + Layout.WRAPPED), WRAPPED_REQUEST);
    }

    private static void copy(byte[] buffer, short from, short request, short field, short width) {
        Util.arrayCopyNonAtomic(buffer, from, buffer, (short) (request + field), width);
    }
}
