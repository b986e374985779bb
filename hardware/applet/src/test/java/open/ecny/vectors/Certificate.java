package open.ecny.vectors;

import java.security.GeneralSecurityException;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** A certificate and its chain, as docs/spec/certificates.md has them. */
final class Certificate {
    private static final Set<Object> CLAIMS = Set.of(4L, 5L, 8L, -70001L, -70002L, -70003L);
    private static final Set<Object> HEADER = Set.of(1L, 4L, 16L);
    /** The class that certifies each class. */
    private static final int[] ISSUER = {0, 0, 1, 1, 1, 1};

    final byte[] bytes;
    final Message.Signed signed;
    final byte[] issuer;
    final byte[] x;
    final byte[] y;
    final byte[] id;
    final long expires;
    final long notBefore;
    final int kind;
    final boolean test;
    final long epoch;

    Certificate(byte[] data) throws Fault, GeneralSecurityException {
        bytes = data;
        signed = Message.envelope(data);
        Map<?, ?> header = map(signed.header);
        Map<?, ?> claims = map(signed.payload);
        if (!Long.valueOf(61).equals(header.get(16L))) {
            throw new Fault("wrong-type", "not the header of a certificate");
        }
        if (!Long.valueOf(-7).equals(header.get(1L))) {
            throw new Fault("unknown-suite", "another algorithm than ES256");
        }
        labels(header, HEADER);
        labels(claims, CLAIMS);
        issuer = octets(header.get(4L), 32);
        expires = number(claims.get(4L), 1 << 16, (1L << 32) - 1);
        notBefore = number(claims.get(5L), 1 << 16, (1L << 32) - 1);
        kind = (int) number(claims.get(-70001L), 0, 5);
        test = number(claims.get(-70002L), 0, 1) == 1;
        epoch = Octets.number(octets(claims.get(-70003L), 4));
        if (expires <= notBefore || epoch > (1L << 32) - 2) {
            throw new Fault("out-of-range", "dates or epoch");
        }
        Object confirmed = claims.get(8L) instanceof Map ? ((Map<?, ?>) claims.get(8L)).get(1L) : null;
        if (!(confirmed instanceof Map) || ((Map<?, ?>) claims.get(8L)).size() != 1) {
            throw new Fault("out-of-range", "the confirmation is one COSE_Key");
        }
        Map<?, ?> key = (Map<?, ?>) confirmed;
        if (key.size() != 4 || !Long.valueOf(2).equals(key.get(1L)) || !Long.valueOf(1).equals(key.get(-1L))) {
            throw new Fault("out-of-range", "a key of P-256, its required members and no other");
        }
        x = octets(key.get(-2L), 32);
        y = octets(key.get(-3L), 32);
        id = Curve.thumbprint(x, y);
    }

    private static Map<?, ?> map(byte[] data) throws Fault {
        Object found = Cbor.decode(data);
        if (!(found instanceof Map)) {
            throw new Fault("wrong-type", "no map");
        }
        return (Map<?, ?>) found;
    }

    private static void labels(Map<?, ?> map, Set<Object> wanted) throws Fault {
        if (!map.keySet().equals(wanted)) {
            throw new Fault("unknown-label", "other labels than those of a certificate");
        }
    }

    private static byte[] octets(Object value, int size) throws Fault {
        if (!(value instanceof byte[]) || ((byte[]) value).length != size) {
            throw new Fault("out-of-range", "no byte string of " + size + " bytes");
        }
        return (byte[]) value;
    }

    private static long number(Object value, long least, long most) throws Fault {
        if (!(value instanceof Long) || (Long) value < least || (Long) value > most) {
            throw new Fault("out-of-range", "no number from " + least + " to " + most);
        }
        return (Long) value;
    }

    /** Believes this certificate, or says in the specification's words why not; `now` below 0 is no clock. */
    void verify(Certificate root, List<Certificate> operators, long now, boolean production, List<?> wanted)
        throws Fault {
        root.anchor(production);
        for (Certificate operator : operators) {
            if (operator.kind != 1) {
                throw new Fault("wrong-class", "an issuer is an operator");
            }
            if (Arrays.equals(operator.id, root.id)) {
                throw new Fault("untrusted-certificate", "the authority's key is no operator's");
            }
            operator.link(root, production);
        }
        Certificate above = null;
        for (Certificate one : operators) {
            above = Arrays.equals(one.id, issuer) ? one : above;
        }
        above = Arrays.equals(root.id, issuer) ? root : above;
        if (above == null || Arrays.equals(id, root.id) && !Arrays.equals(signed.payload, root.signed.payload)) {
            throw new Fault("untrusted-certificate", "no chain leads to the authority");
        }
        link(above, production);
        for (Certificate one : new Certificate[] {this, above, root}) {
            if (now >= 0 && (now < one.notBefore || now >= one.expires)) {
                throw new Fault("expired-certificate", "out of its dates");
            }
        }
        if (!wanted.contains((long) kind)) {
            throw new Fault("wrong-class", "not a class that is wanted");
        }
    }

    private void anchor(boolean production) throws Fault {
        boolean own = kind == 0 && Arrays.equals(issuer, id);
        if (own && production && test) {
            throw new Fault("test-key-refused", "a test key in production");
        }
        if (!own || !signed.by(x, y)) {
            throw new Fault("untrusted-certificate", "no authority's certificate");
        }
    }

    private void link(Certificate above, boolean production) throws Fault {
        if (production && test) {
            throw new Fault("test-key-refused", "a test key in production");
        }
        if (ISSUER[kind] != above.kind) {
            throw new Fault("wrong-class", "this class does not certify that one");
        }
        if (test != above.test || !signed.by(above.x, above.y)) {
            throw new Fault("untrusted-certificate", "not signed by its issuer");
        }
    }
}
