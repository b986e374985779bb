package open.ecny.purse;

import javacard.framework.ISOException;
import javacard.framework.Util;

/**
 * Own key pair, objects of STORE DATA, the steps of the life cycle (docs/spec/apdu.md, <em>STORE DATA</em>).
 *
 * <p>What is stored is verified before it is stored, against what was stored before: nothing that arrives over the
 * channel is believed because it came over the channel. PERSONALISE END verifies the whole once more.
 */
final class Personalisation {
    /** Where the stored operator certificate is laid beside the one that is verified with it. */
    private static final short BESIDE = Layout.CERTIFICATE;

    /** Of a signed message: byte string head and payload, which a signature covers. */
    private static final short WRAPPED_POLICY = Layout.POLICY + 2;
    private static final short WRAPPED_REQUEST = Layout.CERTIFICATION_REQUEST + 2;

    /** A number below 24 is its own encoding in CBOR, so a suite that this card does not know may stand in a policy. */
    private static final byte MOST_SUITE = 23;

    private static final short[] POLICY_AMOUNTS = {
        Layout.POLICY_BALANCE_LIMIT,
        Layout.POLICY_TRANSFER_LIMIT,
        Layout.POLICY_OFFLINE_TOTAL,
        Layout.POLICY_PIN_THRESHOLD,
        Layout.POLICY_UNVERIFIED_TOTAL,
        Layout.POLICY_PAYEE_THRESHOLD,
    };

    private final Memory memory;
    private final Identity identity;
    private final Ecdsa ecdsa;
    private final Chain chain;

    Personalisation(Memory memory, Identity identity, Ecdsa ecdsa, Chain chain) {
        this.memory = memory;
        this.identity = identity;
        this.ecdsa = ecdsa;
        this.chain = chain;
    }

    /**
     * GENERATE ASYMMETRIC KEY PAIR: the challenge (32 bytes) lies at 0; the signed CertificationRequest takes its
     * place. The pair is made once: asked again the card proves again that it has it.
     */
    short generateKeyPair(byte[] buffer) {
        identity.make();
        short payload = Layout.PAYLOAD;
        Util.arrayCopyNonAtomic(
                buffer, (short) 0, buffer, (short) (payload + Layout.CERTIFICATION_CHALLENGE), Layout.HASH);
        Form.laySigned(Form.CERTIFICATION_REQUEST, Layout.CERTIFICATION_REQUEST, buffer, (short) 0);
        byte[] point = identity.point();
        Util.arrayCopyNonAtomic(
                point, Identity.x(), buffer, (short) (payload + Layout.CERTIFICATION_X), Curve.SIZE);
        Util.arrayCopyNonAtomic(
                point, Identity.y(), buffer, (short) (payload + Layout.CERTIFICATION_Y), Curve.SIZE);
        buffer[(short) (payload + Layout.CERTIFICATION_CLASS)] = memory.ownClass;
        ecdsa.sign(buffer, Layout.WRAPPED, WRAPPED_REQUEST);
        return Layout.SIGNED_CERTIFICATION_REQUEST;
    }

    /**
     * STORE DATA of {@code target} (P1), whose content has its size and lies at 0: one object verified and made the one
     * in force, in one commit. The same bytes again change nothing.
     */
    void storeData(byte target, byte[] buffer) {
        if (memory.objects.holds(target, buffer, (short) 0)) {
            return;
        }
        switch (target) {
            case Objects.AUTHORITY:
                checkAuthority(buffer);
                break;
            case Objects.OPERATOR:
                checkOperator(buffer);
                break;
            case Objects.PURSE:
                checkOwn(buffer);
                short epoch = Layout.CERTIFICATE_EPOCH;
                Util.arrayCopyNonAtomic(buffer, epoch, memory.state.now, State.EPOCH, Bytes.COUNTER);
                break;
            case Objects.POLICY:
                checkPolicy(buffer);
                break;
            case Objects.PIN:
                require(Pin.isBlock(buffer, (short) 0), Words.MALFORMED);
                break;
            default: // any 16 bytes are an audit key
        }
        memory.objects.write(target, buffer, (short) 0);
        memory.state.commit();
    }

    /** The trust anchor is stored only once. */
    private void checkAuthority(byte[] buffer) {
        Chain.requireCanonical(buffer, (short) 0);
        require(!memory.objects.has(Objects.AUTHORITY), Words.WRONG_STATE);
        chain.verifyAuthority(buffer, (short) 0);
    }

    private void checkOperator(byte[] buffer) {
        Chain.requireCanonical(buffer, (short) 0);
        require(memory.objects.has(Objects.AUTHORITY), Words.WRONG_STATE);
        chain.verifyOperator(buffer, (short) 0);
    }

    /** The purse certificate is of the card's own key, by its operator, with a class that a card may have. */
    private void checkOwn(byte[] buffer) {
        Chain.requireCanonical(buffer, (short) 0);
        layOperatorBeside(buffer);
        require(memory.state.hasKey(), Words.WRONG_STATE);
        chain.subject(buffer, (short) 0, memory.work, Memory.HASH);
        require(identity.is(memory.work, Memory.HASH), Words.CERTIFICATE);
        chain.verifyParty(buffer, (short) 0, BESIDE, Chain.OWN);
    }

    /** A policy of the card's own operator, for its own class, whose version rises. */
    private void checkPolicy(byte[] buffer) {
        requirePolicy(buffer);
        layOperatorBeside(buffer);
        byte[] own = memory.objects.get(Objects.PURSE);
        require(isOperators(buffer, buffer, BESIDE), Words.WRONG_PURSE);
        require(own == null || isForClassOf(buffer, own), Words.WRONG_PURSE);
        require(ecdsa.verify(buffer, BESIDE, buffer, Layout.WRAPPED, WRAPPED_POLICY), Words.SIGNATURE);
        byte[] old = memory.objects.get(Objects.POLICY);
        short version = (short) (Layout.PAYLOAD + Layout.POLICY_VERSION);
        require(old == null || Bytes.compare(buffer, version, old, version, Bytes.COUNTER) > 0, Words.WRONG_STATE);
    }

    /** Throws MALFORMED unless it is a signed Policy in its one encoding, with each field within its limits. */
    private static void requirePolicy(byte[] buffer) {
        Form.requireSigned(Form.POLICY, Layout.POLICY, buffer, (short) 0);
        short payload = Layout.PAYLOAD;
        byte purseClass = buffer[(short) (payload + Layout.POLICY_CLASS)];
        byte suite = buffer[(short) (payload + Layout.POLICY_LEAST_SUITE)];
        byte mode = buffer[(short) (payload + Layout.POLICY_MODE)];
        require(purseClass >= 0 && purseClass <= Layout.CLASS_TILL, Words.MALFORMED);
        require(suite >= 1 && suite <= MOST_SUITE, Words.MALFORMED);
        require(mode == Layout.MODE_STAGED || mode == Layout.MODE_INTERMITTENT, Words.MALFORMED);
        for (short i = 0; i < (short) POLICY_AMOUNTS.length; i++) {
            Form.requireAmount(buffer, (short) (payload + POLICY_AMOUNTS[i]));
        }
    }

    /**
     * PERSONALISE END: blank → personalised, when everything is there and fits together. {@code buffer}: room for two
     * certificates.
     */
    void personaliseEnd(byte[] buffer) {
        if (memory.state.lifecycle() == State.BLANK) {
            require(isWhole(buffer), Words.WRONG_STATE);
        }
        move(State.PERSONALISED);
    }

    private boolean isWhole(byte[] buffer) {
        for (byte target = 1; target <= Objects.COUNT; target++) {
            if (!memory.objects.has(target)) {
                return false;
            }
        }
        if (!memory.state.hasKey()) {
            return false;
        }
        byte[] own = memory.objects.get(Objects.PURSE);
        byte[] policy = memory.objects.get(Objects.POLICY);
        Util.arrayCopyNonAtomic(own, (short) 0, buffer, (short) 0, Layout.CERTIFICATE);
        layOperatorBeside(buffer);
        try {
            chain.verifyParty(buffer, (short) 0, BESIDE, Chain.OWN);
        } catch (ISOException other) { // another operator has been stored since
            return false;
        }
        return isOperators(policy, buffer, BESIDE) && isForClassOf(policy, own);
    }

    /**
     * ACTIVATE, DEACTIVATE, TERMINATE: the state that is to come; the step that was just taken is taken again without a
     * trace.
     */
    void move(byte lifecycle) {
        if (memory.state.lifecycle() != lifecycle) {
            memory.state.now[State.LIFECYCLE] = lifecycle;
            memory.state.commit();
        }
    }

    /** Whether a policy names the subject of an operator's certificate as its operator. */
    private boolean isOperators(byte[] policy, byte[] operator, short at) {
        chain.subject(operator, at, memory.work, Memory.HASH);
        short named = (short) (Layout.PAYLOAD + Layout.POLICY_OPERATOR);
        return Util.arrayCompare(policy, named, memory.work, Memory.HASH, Layout.ID) == 0;
    }

    private static boolean isForClassOf(byte[] policy, byte[] certificate) {
        return policy[(short) (Layout.PAYLOAD + Layout.POLICY_CLASS)] == Chain.classOf(certificate, (short) 0);
    }

    /** Throws WRONG_STATE while the card has no operator. */
    private void layOperatorBeside(byte[] buffer) {
        byte[] operator = memory.objects.get(Objects.OPERATOR);
        if (operator == null) {
            ISOException.throwIt(Words.WRONG_STATE);
        }
        Util.arrayCopyNonAtomic(operator, (short) 0, buffer, BESIDE, Layout.CERTIFICATE);
    }

    private static void require(boolean right, short otherwise) {
        if (!right) {
            ISOException.throwIt(otherwise);
        }
    }
}
