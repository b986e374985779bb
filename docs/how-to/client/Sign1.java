package open.ecny.client;

import java.security.GeneralSecurityException;
import java.security.PrivateKey;

/** COSE_Sign1 (RFC 9052, 4.2) as every message is: tag 18, its protected header, an empty unprotected one. */
record Sign1(byte[] protectedHeader, byte[] payload, byte[] signature) {
    static final byte[] ES256 = Bytes.of("a10126");

    static Sign1 parse(byte[] data) throws Refused {
        Cbor.Reader in = new Cbor.Reader(data);
        in.tag(18);
        if (in.array() != 4) {
            throw Refused.notBelieved("a COSE_Sign1 has four parts");
        }
        byte[] header = in.bytes();
        if (in.map() != 0) {
            throw Refused.notBelieved("the unprotected header must be empty: nothing signs it");
        }
        Sign1 found = new Sign1(header, in.bytes(), in.bytes(Key.SIGNATURE));
        in.end();
        return found;
    }

    static Sign1 sign(byte[] payload, PrivateKey key) throws GeneralSecurityException {
        return new Sign1(ES256, payload, Key.sign(key, structure(ES256, payload)));
    }

    /** The Sig_structure (RFC 9052, 4.4): what is signed, and what is hashed. */
    static byte[] structure(byte[] protectedHeader, byte[] payload) {
        byte[] context = Bytes.join(Bytes.of("6a"), Bytes.utf8("Signature1")); // text of ten characters
        return new Cbor.Writer().array(4).raw(context).bytes(protectedHeader).bytes(new byte[0]).bytes(payload).done();
    }

    /** H(x) of a message with this payload, signed or not: the signature is no part of it. */
    static byte[] hash(byte[] payload) {
        return Bytes.sha256(structure(ES256, payload));
    }

    boolean verifies(byte[] x, byte[] y) {
        return Key.verifies(x, y, structure(protectedHeader, payload), signature);
    }

    byte[] encode() {
        return new Cbor.Writer().tag(18).array(4).bytes(protectedHeader).map(0).bytes(payload).bytes(signature).done();
    }
}
