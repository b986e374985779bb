package open.ecny.vectors;

import java.security.GeneralSecurityException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The messages of docs/spec/messages.cddl: what each label holds, read strictly and written back. */
final class Message {
    /** A signed message in its parts; the unprotected header is empty. */
    static final class Signed {
        final byte[] header;
        final byte[] payload;
        final byte[] signature;

        Signed(byte[] header, byte[] payload, byte[] signature) {
            this.header = header;
            this.payload = payload;
            this.signature = signature;
        }

        /** The Sig_structure (RFC 9052, 4.4): signed, and hashed. */
        byte[] structure() {
            return Cbor.encode(Arrays.<Object>asList("Signature1", header, new byte[0], payload));
        }

        byte[] hash() throws GeneralSecurityException {
            return Octets.hash("SHA-256", structure());
        }

        boolean by(byte[] x, byte[] y) {
            return Curve.verifies(x, y, structure(), signature);
        }

        byte[] encode() {
            Object parts = Arrays.<Object>asList(header, new LinkedHashMap<>(), payload, signature);
            return Octets.join(Cbor.head(6, 18), Cbor.encode(parts));
        }
    }

    private static final byte[] ES256 = {(byte) 0xa1, 0x01, 0x26};
    private static final long MOST = (1L << 53) - 1;
    private static final long LAST_NUMBER = (1L << 32) - 1;

    /** Number and labels from 2 on; a label and its kind: bN bytes, u4 number, c4 number from 1, m8 fen, sA-B small
     * number, iN list of at most N items, tN a status byte of at most N each, r entries of a revocation list. */
    private static final Map<String, String> RULES = new LinkedHashMap<>();

    static {
        RULES.put("Request", "1 2:b32 3:u4 4:u4 5:b32 6:u4 7:m8 8:b32");
        RULES.put("Voucher", "2 2:b32 3:u4 4:u4 5:b32 6:u4 7:m8 9:b32 10:u4 11:b48");
        RULES.put("Receipt", "3 5:b32 6:u4 12:b32 13:m8 14:m8 15:m8");
        RULES.put("Refusal", "4 5:b32 6:u4 9:b32");
        RULES.put("ReversalOrder", "5 2:b32 3:u4 4:u4 12:b32 20:b32");
        RULES.put("Report", "6 2:b32 3:u4 4:u4 6:u4 10:u4 13:m8 14:m8 15:m8 16:m8 17:m8 18:b592 19:b296 21:s0-4");
        RULES.put("Grant", "7 2:b32 3:u4 4:u4 10:u4 16:m8 17:m8 18:b80 19:b32 20:b32");
        RULES.put("Policy", "8 2:b32 3:u4 4:s0-5 5:s1-23 6:s1-2 7:m8 8:m8 9:m8 10:u4 11:m8 12:m8 13:m8 14:u4 15:u4");
        RULES.put("Issuance", "9 2:b32 3:b32 4:u4 5:m8");
        RULES.put("DepositBatch", "10 2:b32 3:c4 4:b32 5:i10000 6:i1000 7:i10000");
        RULES.put("DepositAnswer", "11 2:b32 3:b32 4:c4 5:b32 6:m8 7:t9 8:t3");
        RULES.put("CertificationRequest", "12 2:b32 3:b32 4:s0-5 5:b32");
        RULES.put("RevocationList", "13 2:b32 3:c4 4:u4 5:r");
        RULES.put("Closing", "14 2:b32 5:b32 9:b32");
    }

    private Message() {
    }

    static int count() {
        return RULES.size();
    }

    /** The envelope alone; a certificate has another header, so that is left to the caller. */
    static Signed envelope(byte[] data) throws Fault {
        if (data.length > 0 && (data[0] & 0xff) != 0xd2) {
            throw new Fault("not-canonical", "not tagged as a COSE_Sign1");
        }
        Object content = Cbor.decode(data.length == 0 ? data : Octets.part(data, 1, data.length - 1));
        if (!(content instanceof List) || ((List<?>) content).size() != 4) {
            throw new Fault("not-canonical", "a COSE_Sign1 has four parts");
        }
        List<?> parts = (List<?>) content;
        boolean empty = parts.get(1) instanceof Map && ((Map<?, ?>) parts.get(1)).isEmpty();
        for (int i : new int[] {0, 2, 3}) {
            empty = empty && parts.get(i) instanceof byte[];
        }
        if (!empty) {
            throw new Fault("not-canonical", "three byte strings, and nothing unprotected");
        }
        byte[] signature = (byte[]) parts.get(3);
        if (signature.length != 64) {
            throw new Fault(signature.length < 64 ? "truncated" : "oversized", "a signature has 64 bytes");
        }
        return new Signed((byte[]) parts.get(0), (byte[]) parts.get(2), signature);
    }

    static Signed parse(String type, byte[] data) throws Fault {
        Signed found = envelope(data);
        if (!Arrays.equals(found.header, ES256)) {
            throw new Fault("unknown-suite", "another protected header than that of ES256");
        }
        fields(type, found.payload);
        return found;
    }

    /** The values from label 1 on, in the order of their labels: numbers as Long, lists as List. */
    static List<Object> fields(String type, byte[] payload) throws Fault {
        Object content = Cbor.decode(payload);
        String[] rule = RULES.get(type).split(" ");
        if (!(content instanceof Map)) {
            throw new Fault("wrong-type", "a payload is a map");
        }
        Map<?, ?> map = (Map<?, ?>) content;
        if (!Long.valueOf(rule[0]).equals(map.get(0L))) {
            throw new Fault("wrong-type", "not a " + type);
        }
        List<Object> found = new ArrayList<>();
        found.add(map.get(1L));
        for (int i = 1; i < rule.length; i++) {
            String[] label = rule[i].split(":");
            Object value = map.get(Long.valueOf(label[0]));
            if (value == null) {
                throw new Fault("truncated", "label " + label[0] + " is missing");
            }
            found.add(value(label[1], value));
        }
        if (map.size() != rule.length + 1) {
            throw new Fault("unknown-label", "another number of labels");
        }
        if (!Long.valueOf(1).equals(found.get(0))) {
            throw new Fault("unknown-suite", "a suite that is not ES256");
        }
        return found;
    }

    private static Object value(String kind, Object value) throws Fault {
        String rest = kind.substring(1);
        switch (kind.charAt(0)) {
            case 'b':
                return sized(value, Integer.parseInt(rest));
            case 'u':
                return Octets.number(sized(value, 4));
            case 'c':
                return within(Octets.number(sized(value, 4)), 1, LAST_NUMBER);
            case 'm':
                byte[] fen = sized(value, 8);
                return within(Octets.number(fen), 0, MOST);
            case 's':
                if (!(value instanceof Long)) {
                    throw new Fault("out-of-range", "not a number");
                }
                return within((Long) value, Long.parseLong(rest.split("-")[0]), Long.parseLong(rest.split("-")[1]));
            case 'i':
                return items(value, Integer.parseInt(rest));
            case 't':
                return statuses(value, Integer.parseInt(rest));
            default:
                return entries(value);
        }
    }

    private static byte[] sized(Object value, int size) throws Fault {
        if (!(value instanceof byte[])) {
            throw new Fault("out-of-range", "no byte string");
        }
        int found = ((byte[]) value).length;
        if (found != size) {
            throw new Fault(found < size ? "truncated" : "oversized", found + " bytes instead of " + size);
        }
        return (byte[]) value;
    }

    private static Long within(long value, long least, long most) throws Fault {
        if (value < least || value > most) {
            throw new Fault("out-of-range", value + " is outside " + least + " to " + most);
        }
        return value;
    }

    private static List<Object> items(Object value, int most) throws Fault {
        if (!(value instanceof List) || ((List<?>) value).size() > most) {
            throw new Fault("malformed", "no list, or too long a one");
        }
        List<Object> found = new ArrayList<>();
        for (Object one : (List<?>) value) {
            if (!(one instanceof byte[]) || ((byte[]) one).length > 1024) {
                throw new Fault("out-of-range", "an item is a byte string of at most 1,024 bytes");
            }
            found.add(one);
        }
        return found;
    }

    private static List<Object> statuses(Object value, int most) throws Fault {
        if (!(value instanceof byte[])) {
            throw new Fault("out-of-range", "no byte string");
        }
        List<Object> found = new ArrayList<>();
        for (byte one : (byte[]) value) {
            if (one < 0 || one > most) {
                throw new Fault("unknown-label", "no such status");
            }
            found.add((long) one);
        }
        return found;
    }

    private static List<Object> entries(Object value) throws Fault {
        if (!(value instanceof List)) {
            throw new Fault("out-of-range", "no list");
        }
        List<Object> found = new ArrayList<>();
        byte[] before = null;
        for (Object one : (List<?>) value) {
            if (!(one instanceof List) || ((List<?>) one).size() != 2 || !(((List<?>) one).get(1) instanceof Long)) {
                throw new Fault("out-of-range", "an entry is an id and a reason");
            }
            byte[] id = sized(((List<?>) one).get(0), 32);
            long reason = (Long) ((List<?>) one).get(1);
            if (reason < 1 || reason > 4) {
                throw new Fault("unknown-label", "no such reason");
            }
            if (before != null && Arrays.compareUnsigned(before, id) >= 0) {
                throw new Fault("out-of-range", "ids rise");
            }
            before = id;
            found.add(Arrays.<Object>asList(id, reason));
        }
        return found;
    }

    /** The payload from the values that `fields` gives. */
    static byte[] payload(String type, List<Object> values) {
        String[] rule = RULES.get(type).split(" ");
        Map<Object, Object> map = new LinkedHashMap<>();
        map.put(0L, Long.valueOf(rule[0]));
        map.put(1L, values.get(0));
        for (int i = 1; i < rule.length; i++) {
            String[] label = rule[i].split(":");
            map.put(Long.valueOf(label[0]), written(label[1].charAt(0), values.get(i)));
        }
        return Cbor.encode(map);
    }

    private static Object written(char kind, Object value) {
        switch (kind) {
            case 'u':
            case 'c':
                return Octets.number((Long) value, 4);
            case 'm':
                return Octets.number((Long) value, 8);
            case 't':
                List<?> statuses = (List<?>) value;
                byte[] found = new byte[statuses.size()];
                for (int i = 0; i < found.length; i++) {
                    found[i] = ((Long) statuses.get(i)).byteValue();
                }
                return found;
            default:
                return value;
        }
    }
}
