package open.ecny.purse;

import javacard.framework.ISOException;
import javacard.framework.Util;

/**
 * Certificates: canonical form, and the way authority → operator → purse or till, verified inside the card. There are
 * no dates in it: a card has no clock, and expiry never stops the finishing of a transfer (transfer.md, rule 10).
 */
final class Chain {
    // Sets of classes: bit of the class's number.
    static final byte PURSES =
            1 << Layout.CLASS_OPERATOR_PURSE | 1 << Layout.CLASS_HARD_WALLET | 1 << Layout.CLASS_MERCHANT_PURSE;
    static final byte PAYEES = PURSES | 1 << Layout.CLASS_TILL;
    /** What this card itself may be certified as. */
    static final byte OWN = 1 << Layout.CLASS_HARD_WALLET | 1 << Layout.CLASS_MERCHANT_PURSE;

    private final Memory memory;
    private final Hash hash;
    private final Ecdsa ecdsa;

    Chain(Memory memory, Hash hash, Ecdsa ecdsa) {
        this.memory = memory;
        this.hash = hash;
        this.ecdsa = ecdsa;
    }

    /**
     * Throws MALFORMED unless the 227 bytes are a certificate in its one encoding, with each claim within its limits.
     */
    static void requireCanonical(byte[] certificate, short at) {
        Form.require(Form.CERTIFICATE, certificate, at);
        short notBefore = (short) (at + Layout.CERTIFICATE_NOT_BEFORE);
        short expires = (short) (at + Layout.CERTIFICATE_EXPIRES);
        short test = certificate[(short) (at + Layout.CERTIFICATE_TEST)];
        short epoch = (short) (at + Layout.CERTIFICATE_EPOCH);
        boolean early = Util.getShort(certificate, notBefore) == 0; // below 65536 it would be encoded in fewer bytes
        if ((short) (classOf(certificate, at) & 0xFF) > Layout.CLASS_TILL
                || (test != 0 && test != 1)
                || early
                || Bytes.compare(certificate, notBefore, certificate, expires, Bytes.COUNTER) >= 0
                || Bytes.isFull(certificate, epoch)) {
            ISOException.throwIt(Words.MALFORMED);
        }
    }

    static byte classOf(byte[] certificate, short at) {
        return certificate[(short) (at + Layout.CERTIFICATE_CLASS)];
    }

    /** Whether the class of the certificate is in a set of classes. */
    static boolean isOf(byte[] certificate, short at, byte classes) {
        return (short) ((short) (classes >> classOf(certificate, at)) & 1) != 0;
    }

    /** Writes the id that a certificate speaks of: the thumbprint of its key, 32 bytes. */
    void subject(byte[] certificate, short at, byte[] to, short toAt) {
        hash.thumbprint(
                certificate,
                (short) (at + Layout.CERTIFICATE_X),
                certificate,
                (short) (at + Layout.CERTIFICATE_Y),
                to,
                toAt);
    }

    /** Throws CERTIFICATE unless the certificate speaks of this id. */
    void requireSubject(byte[] certificate, short at, byte[] id, short idAt) {
        subject(certificate, at, memory.work, Memory.HASH);
        if (Util.arrayCompare(memory.work, Memory.HASH, id, idAt, Layout.ID) != 0) {
            refuse();
        }
    }

    /** Throws CERTIFICATE unless the certificate is of this epoch of its purse. */
    void requireEpoch(byte[] certificate, short at, byte[] epoch, short epochAt) {
        short own = (short) (at + Layout.CERTIFICATE_EPOCH);
        if (Util.arrayCompare(certificate, own, epoch, epochAt, Bytes.COUNTER) != 0) {
            refuse();
        }
    }

    /**
     * Throws CERTIFICATE unless the party's certificate has one of these classes and leads to this card's authority.
     */
    void verifyParty(byte[] data, short party, short operator, byte classes) {
        if (!isOf(data, party, classes)) {
            refuse();
        }
        verifyOperator(data, operator);
        verifyLink(data, party, data, operator);
    }

    /**
     * Throws CERTIFICATE unless it is an operator's, signed by this card's authority. The own operator was verified
     * before.
     */
    void verifyOperator(byte[] data, short operator) {
        if (memory.objects.holds(Objects.OPERATOR, data, operator)) {
            return;
        }
        byte[] root = authority();
        if (classOf(data, operator) != Layout.CLASS_OPERATOR) {
            refuse();
        }
        verifyLink(data, operator, root, (short) 0);
    }

    /** Throws CERTIFICATE unless the self-signed certificate may be the trust anchor of this card. */
    void verifyAuthority(byte[] data, short at) {
        if (classOf(data, at) != Layout.CLASS_AUTHORITY) {
            refuse();
        }
        verifyIssuer(data, at, data, at);
    }

    /** One step of the way; whoever holds the authority's key is nothing but the authority. */
    private void verifyLink(byte[] data, short child, byte[] parent, short parentAt) {
        subject(authority(), (short) 0, memory.work, Memory.HASH);
        subject(data, child, memory.work, Memory.HASH2);
        if (Util.arrayCompare(memory.work, Memory.HASH, memory.work, Memory.HASH2, Layout.ID) == 0) {
            refuse();
        }
        verifyIssuer(data, child, parent, parentAt);
    }

    /** The named issuer is the parent, both are test keys or neither is, and the parent signed. */
    private void verifyIssuer(byte[] data, short child, byte[] parent, short parentAt) {
        byte test = data[(short) (child + Layout.CERTIFICATE_TEST)];
        subject(parent, parentAt, memory.work, Memory.HASH);
        short issuer = (short) (child + Layout.CERTIFICATE_ISSUER);
        if ((memory.production && test != 0)
                || test != parent[(short) (parentAt + Layout.CERTIFICATE_TEST)]
                || Util.arrayCompare(memory.work, Memory.HASH, data, issuer, Layout.ID) != 0
                || !ecdsa.verifyCertificate(parent, parentAt, data, child)) {
            refuse();
        }
    }

    private byte[] authority() {
        byte[] root = memory.objects.get(Objects.AUTHORITY);
        if (root == null) {
            ISOException.throwIt(Words.WRONG_STATE);
        }
        return root;
    }

    private static void refuse() {
        ISOException.throwIt(Words.CERTIFICATE);
    }
}
