package open.ecny.purse;

import javacard.framework.ISOException;
import javacard.framework.Util;

/**
 * PAY: a Request becomes a debit and a Voucher. The reasons to refuse come in the order of docs/spec/statuses.md; a
 * stored Voucher comes before any of them, for policy, PIN and limits never stop the finishing of a transfer (rule
 * 10).
 */
final class Paying {
    /** Where the payee's and its operator's certificate lie behind a signed Request. */
    private static final short PAYEE = Layout.SIGNED_REQUEST;
    private static final short OPERATOR = PAYEE + Layout.CERTIFICATE;

    private static final short WRAPPED_REQUEST = 2 + Layout.REQUEST;
    private static final short WRAPPED_VOUCHER = 2 + Layout.VOUCHER;

    private final Memory memory;
    private final Identity identity;
    private final Policy policy;
    private final Vouchers vouchers;
    private final Hash hash;
    private final Ecdsa ecdsa;
    private final Chain chain;
    private final Audit audit;

    Paying(
            Memory memory,
            Identity identity,
            Policy policy,
            Vouchers vouchers,
            Hash hash,
            Ecdsa ecdsa,
            Chain chain,
            Audit audit) {
        this.memory = memory;
        this.identity = identity;
        this.policy = policy;
        this.vouchers = vouchers;
        this.hash = hash;
        this.ecdsa = ecdsa;
        this.chain = chain;
        this.audit = audit;
    }

    /** PAY of a Request's payload. */
    short pay(byte[] buffer) {
        short request = 0;
        Form.require(Form.REQUEST, buffer, request);
        Form.requireAmount(buffer, (short) (request + Layout.TRANSFER_AMOUNT));
        hash.payload(Form.REQUEST_HEAD, buffer, request, Layout.REQUEST, memory.work, Memory.MESSAGE);
        short stored = vouchers.ofRequest(memory.work, Memory.MESSAGE);
        if (stored != Vouchers.NONE) {
            return vouchers.answer(stored, buffer);
        }
        short slot = begin(buffer, request);
        if (policy.isAbove(
                Layout.POLICY_PAYEE_THRESHOLD, buffer, (short) (request + Layout.TRANSFER_AMOUNT), Bytes.AMOUNT)) {
            ISOException.throwIt(Words.PAYEE_UNVERIFIED);
        }
        return finish(buffer, request, slot);
    }

    /** PAY of a signed Request with certificates: the card verifies the payee itself. */
    short payVerified(byte[] buffer) {
        short request = Layout.PAYLOAD;
        Form.requireSigned(Form.REQUEST, Layout.REQUEST, buffer, (short) 0);
        Form.requireAmount(buffer, (short) (request + Layout.TRANSFER_AMOUNT));
        hash.message(buffer, Layout.WRAPPED, WRAPPED_REQUEST, memory.work, Memory.MESSAGE);
        short stored = vouchers.ofRequest(memory.work, Memory.MESSAGE);
        if (stored != Vouchers.NONE) { // what is paid already needs no certificate, whatever comes with it
            return vouchers.answer(stored, buffer);
        }
        Chain.requireCanonical(buffer, PAYEE);
        Chain.requireCanonical(buffer, OPERATOR);
        short slot = begin(buffer, request);
        if (!policy.allows(Layout.POLICY_PAYEE_CLASSES, Chain.classOf(buffer, PAYEE))) {
            ISOException.throwIt(Words.PAYEE_CLASS);
        }
        verifyPayee(buffer, request);
        return finish(buffer, request, slot);
    }

    /** The reasons from WRONG_STATE to COUNTERS_EXHAUSTED; returns the slot that is free. */
    private short begin(byte[] buffer, short request) {
        byte[] now = memory.state.now;
        if (memory.state.lifecycle() != State.ACTIVE) {
            ISOException.throwIt(Words.WRONG_STATE);
        }
        if (!identity.is(buffer, (short) (request + Layout.TRANSFER_PAYER))
                || !memory.state.isEpoch(buffer, (short) (request + Layout.TRANSFER_EPOCH))) {
            ISOException.throwIt(Words.WRONG_PURSE);
        }
        if (policy.wantsStrongerSuite()) {
            ISOException.throwIt(Words.SUITE);
        }
        if (Util.arrayCompare(buffer, (short) (request + Layout.TRANSFER_N), now, State.NEXT_N, Bytes.COUNTER) != 0) {
            ISOException.throwIt(Words.STALE);
        }
        short slot = vouchers.free();
        if (slot == Vouchers.NONE) {
            ISOException.throwIt(Words.SLOTS_FULL);
        }
        if (memory.state.isExhausted(State.NEXT_N)) {
            ISOException.throwIt(Words.COUNTERS_EXHAUSTED);
        }
        return slot;
    }

    /** Operator → payee → Request; the payee is whom the certificate speaks of. */
    private void verifyPayee(byte[] buffer, short request) {
        chain.verifyParty(buffer, PAYEE, OPERATOR, Chain.PAYEES);
        chain.requireSubject(buffer, PAYEE, buffer, (short) (request + Layout.TRANSFER_PAYEE));
        if (!ecdsa.verify(buffer, PAYEE, buffer, Layout.WRAPPED, WRAPPED_REQUEST)) {
            ISOException.throwIt(Words.SIGNATURE);
        }
    }

    /** The reasons from SELF_PAYMENT to PIN_REQUIRED, then the debit. */
    private short finish(byte[] buffer, short request, short slot) {
        if (identity.is(buffer, (short) (request + Layout.TRANSFER_PAYEE))) {
            ISOException.throwIt(Words.SELF_PAYMENT);
        }
        short amount = (short) (request + Layout.TRANSFER_AMOUNT);
        checkLimits(buffer, amount);
        checkPin(buffer, amount);
        return debit(buffer, request, slot);
    }

    /** Leaves out + amount in SUM. */
    private void checkLimits(byte[] buffer, short amount) {
        byte[] now = memory.state.now;
        byte[] work = memory.work;
        Bytes.add(now, State.OUT, buffer, amount, work, Memory.SUM, Bytes.AMOUNT);
        if (Bytes.isZero(buffer, amount, Bytes.AMOUNT) || !Bytes.isAmount(work, Memory.SUM)) {
            ISOException.throwIt(Words.AMOUNT);
        }
        if (policy.isAbove(Layout.POLICY_TRANSFER_LIMIT, buffer, amount, Bytes.AMOUNT)) {
            ISOException.throwIt(Words.TRANSFER_LIMIT);
        }
        Bytes.subtract(work, Memory.SUM, now, State.OUT_ACKED, work, Memory.OTHER, Bytes.AMOUNT);
        if (policy.isAbove(Layout.POLICY_OFFLINE_TOTAL, work, Memory.OTHER, Bytes.AMOUNT)) {
            ISOException.throwIt(Words.OFFLINE_TOTAL);
        }
        Bytes.subtract(now, State.NEXT_N, now, State.N_ACKED, work, Memory.OTHER, Bytes.COUNTER);
        Bytes.increment(work, Memory.OTHER, Bytes.COUNTER); // this payment counts too; n itself is below its last value
        if (policy.isAbove(Layout.POLICY_OFFLINE_COUNT, work, Memory.OTHER, Bytes.COUNTER)) {
            ISOException.throwIt(Words.OFFLINE_COUNT);
        }
        if (exceeds(State.IN) || (policy.isStaged() && exceeds(State.IN_ACKED))) {
            ISOException.throwIt(Words.INSUFFICIENT);
        }
    }

    /** Whether the sum of all payments would be above this inflow and what was reversed. */
    private boolean exceeds(short inflow) {
        byte[] now = memory.state.now;
        byte[] work = memory.work;
        Bytes.add(now, inflow, now, State.REVERSED, work, Memory.OTHER, Bytes.AMOUNT);
        return Bytes.compare(work, Memory.SUM, work, Memory.OTHER, Bytes.AMOUNT) > 0;
    }

    /** Leaves in OTHER what will have been paid without PIN. */
    private void checkPin(byte[] buffer, short amount) {
        byte[] now = memory.state.now;
        byte[] work = memory.work;
        if (now[State.PIN_TRIES] == 0) {
            ISOException.throwIt(Words.PIN_BLOCKED);
        }
        if (memory.isPinVerified()) {
            Util.arrayCopyNonAtomic(now, State.UNVERIFIED, work, Memory.OTHER, Bytes.AMOUNT);
            return;
        }
        Bytes.add(now, State.UNVERIFIED, buffer, amount, work, Memory.OTHER, Bytes.AMOUNT);
        if (policy.isAbove(Layout.POLICY_PIN_THRESHOLD, buffer, amount, Bytes.AMOUNT)
                || policy.isAbove(Layout.POLICY_UNVERIFIED_TOTAL, work, Memory.OTHER, Bytes.AMOUNT)) {
            ISOException.throwIt(Words.PIN_REQUIRED);
        }
    }

    /** Sign, copy into the free slot, commit, answer what is stored (rule 3). */
    private short debit(byte[] buffer, short request, short slot) {
        byte[] now = memory.state.now;
        Util.arrayCopyNonAtomic(memory.work, Memory.SUM, now, State.OUT, Bytes.AMOUNT);
        Util.arrayCopyNonAtomic(memory.work, Memory.OTHER, now, State.UNVERIFIED, Bytes.AMOUNT);
        Bytes.increment(now, State.NEXT_N, Bytes.COUNTER);
        memory.setSlotState(slot, State.PENDING);
        write(buffer, request);
        Util.arrayCopyNonAtomic(
                buffer, Layout.ANSWER, memory.slots[slot].voucher, (short) 0, Layout.SIGNED_VOUCHER);
        memory.state.commit();
        memory.setPinVerified(false); // one PAY per verification (rule 13)
        return vouchers.answer(slot, buffer);
    }

    /** Builds and signs the Voucher behind the command: labels 2 to 7 are the Request's bytes. */
    private void write(byte[] buffer, short request) {
        short voucher = Form.laySigned(Form.VOUCHER, Layout.VOUCHER, buffer, Layout.ANSWER);
        Util.arrayCopyNonAtomic(
                buffer,
                (short) (request + Layout.TRANSFER_RUN),
                buffer,
                (short) (voucher + Layout.TRANSFER_RUN),
                Layout.TRANSFER_RUN_SIZE);
        Util.arrayCopyNonAtomic(
                memory.work, Memory.MESSAGE, buffer, (short) (voucher + Layout.VOUCHER_REQUEST_HASH), Layout.HASH);
        policy.version(buffer, (short) (voucher + Layout.VOUCHER_POLICY_VERSION));
        audit.seal(buffer, (short) (request + Layout.TRANSFER_N), buffer, (short) (voucher + Layout.VOUCHER_AUDIT));
        ecdsa.sign(buffer, (short) (Layout.ANSWER + Layout.WRAPPED), WRAPPED_VOUCHER);
    }
}
