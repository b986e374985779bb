package open.ecny.client;

import java.util.Arrays;
import java.util.List;

/** A certificate (docs/spec/certificates.md): a CWT whose every field has its place. Dates: seconds since 1970. */
record Certificate(byte[] bytes, byte[] issuer, byte[] x, byte[] y, long notBefore, long expires, int kind,
                   boolean test, long epoch) {
    static final int SIZE = 227;
    static final int AUTHORITY = 0;
    static final int OPERATOR = 1;
    static final int HARD_WALLET = 3;
    static final int MERCHANT_PURSE = 4;
    static final int TILL = 5;

    static Certificate parse(byte[] data) throws Refused {
        Sign1 envelope = Sign1.parse(data);
        Cbor.Reader header = new Cbor.Reader(envelope.protectedHeader());
        if (header.map() != 3) {
            throw Refused.notBelieved("not the header of a certificate");
        }
        header.expect(1);
        header.expect(-7);
        byte[] issuer = header.label(4, 32);
        header.expect(16);
        header.expect(61);
        header.end();

        Cbor.Reader claims = new Cbor.Reader(envelope.payload());
        if (claims.map() != 6) {
            throw Refused.notBelieved("not the claims of a certificate");
        }
        claims.expect(4);
        long expires = claims.number();
        claims.expect(5);
        long notBefore = claims.number();
        claims.expect(8);
        one(claims);
        if (claims.map() != 4) {
            throw Refused.notBelieved("the key has four members");
        }
        claims.expect(1);
        claims.expect(2);
        claims.expect(-1);
        claims.expect(1);
        byte[] x = claims.label(-2, Key.COORDINATE);
        byte[] y = claims.label(-3, Key.COORDINATE);
        claims.expect(-70001);
        long kind = claims.number();
        claims.expect(-70002);
        long test = claims.number();
        long epoch = Bytes.number(claims.label(-70003, 4));
        claims.end();
        if (kind < 0 || kind > 5 || test < 0 || test > 1 || notBefore < 65536 || expires <= notBefore) {
            throw Refused.notBelieved("a claim outside its limits");
        }
        return new Certificate(data, issuer, x, y, notBefore, expires, (int) kind, test == 1, epoch);
    }

    /** A map of the single label 1. */
    private static void one(Cbor.Reader claims) throws Refused {
        if (claims.map() != 1) {
            throw Refused.notBelieved("the confirmation is a COSE_Key and nothing else");
        }
        claims.expect(1);
    }

    byte[] id() {
        return Key.id(x, y);
    }

    boolean signed(Sign1 message) {
        return message.verifies(x, y);
    }

    /** The chain authority → operator → this one; `authority` is believed because somebody carried it here. */
    void verify(Certificate operator, Certificate authority, long now, Integer... kinds) throws Refused {
        authority.link(authority, AUTHORITY, AUTHORITY, now);
        operator.link(authority, OPERATOR, AUTHORITY, now);
        link(operator, kind, OPERATOR, now);
        if (!List.of(kinds).contains(kind)) {
            throw Refused.notBelieved("a certificate of class " + kind + " may not do this");
        }
    }

    private void link(Certificate parent, int wanted, int above, long now) throws Refused {
        boolean fits = kind == wanted && parent.kind == above && test == parent.test;
        if (!fits || !Arrays.equals(issuer, parent.id()) || !parent.signed(Sign1.parse(bytes))) {
            throw Refused.notBelieved("no chain leads from this certificate to the authority");
        }
        if (now < notBefore || now >= expires) {
            throw Refused.notBelieved("a certificate is out of its dates");
        }
    }
}
