package open.ecny.purse;

import javacard.framework.ISOException;

/** Own key pair, objects of STORE DATA, the steps of the life cycle. */
final class Personalisation {
    Personalisation(Memory memory, Identity identity, Ecdsa ecdsa, Chain chain, Hash hash) {}

    /** GENERATE ASYMMETRIC KEY PAIR: the challenge (32 bytes) at 0; the signed CertificationRequest takes its place. */
    short generateKeyPair(byte[] buffer) {
        ISOException.throwIt(Words.UNKNOWN_INS);
        return 0;
    }

    /** STORE DATA of {@code target} (P1), whose content has its size and lies at 0. */
    void storeData(byte target, byte[] buffer) {
        ISOException.throwIt(Words.UNKNOWN_INS);
    }

    void personaliseEnd() {
        ISOException.throwIt(Words.UNKNOWN_INS);
    }

    /** ACTIVATE, DEACTIVATE, TERMINATE: the state that is to come; the step that was just taken is taken again without a trace. */
    void move(byte lifecycle) {
        ISOException.throwIt(Words.UNKNOWN_INS);
    }
}
