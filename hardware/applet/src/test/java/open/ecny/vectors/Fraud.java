package open.ecny.vectors;

import java.security.GeneralSecurityException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/** Proofs of fraud (docs/spec/certificates.md): two statements of one key that cannot both be true. */
final class Fraud {
    private static final int LINE = 37;
    private static final List<Long> PURSES = List.of(2L, 3L, 4L);
    private static final List<Long> PAYEES = List.of(2L, 3L, 4L, 5L);

    final long kind;
    private final List<String> types;
    private final List<Message.Signed> messages;
    private final List<Certificate> certificates;

    private Fraud(long kind, List<String> types, List<Message.Signed> messages, List<Certificate> certificates) {
        this.kind = kind;
        this.types = types;
        this.messages = messages;
        this.certificates = certificates;
    }

    static Fraud parse(byte[] data) throws Fault, GeneralSecurityException {
        Object content = Cbor.decode(data);
        if (!(content instanceof Map) || data.length > 8192) {
            throw new Fault("wrong-type", "no proof");
        }
        Map<?, ?> map = (Map<?, ?>) content;
        if (map.size() != 5 || !Long.valueOf(15).equals(map.get(0L)) || !Long.valueOf(1).equals(map.get(1L))) {
            throw new Fault("wrong-type", "not a proof of suite 1");
        }
        List<byte[]> said = items(map.get(3L), 3);
        List<byte[]> papers = items(map.get(4L), 8);
        for (int i = 1; i < papers.size(); i++) {
            if (Arrays.compareUnsigned(papers.get(i - 1), papers.get(i)) >= 0) {
                throw new Fault("not-canonical", "certificates rise, each once");
            }
        }
        List<String> types = types(map.get(2L), said);
        List<Message.Signed> messages = new ArrayList<>();
        for (int i = 0; i < said.size(); i++) {
            messages.add(Message.parse(types.get(i), said.get(i)));
        }
        boolean vouchers = types.equals(List.of("Voucher", "Voucher"));
        if (vouchers && Arrays.compareUnsigned(messages.get(0).hash(), messages.get(1).hash()) > 0) {
            throw new Fault("not-canonical", "vouchers come by rising hashes");
        }
        List<Certificate> certificates = new ArrayList<>();
        for (byte[] one : papers) {
            certificates.add(new Certificate(one));
        }
        return new Fraud((Long) map.get(2L), types, messages, certificates);
    }

    private static List<String> types(Object kind, List<byte[]> said) throws Fault {
        if (Long.valueOf(2).equals(kind) && said.size() == 3) {
            return List.of("Receipt", "Refusal", "Voucher");
        }
        if (!Long.valueOf(1).equals(kind) || said.size() != 2) {
            throw new Fault("out-of-range", "kind and number of messages do not fit");
        }
        try {
            Message.parse("Voucher", said.get(1));
            return List.of("Voucher", "Voucher");
        } catch (Fault other) {
            return List.of("Voucher", "Report");
        }
    }

    private static List<byte[]> items(Object value, int most) throws Fault {
        if (!(value instanceof List) || ((List<?>) value).isEmpty() || ((List<?>) value).size() > most) {
            throw new Fault("out-of-range", "no list of 1 to " + most);
        }
        List<byte[]> found = new ArrayList<>();
        for (Object one : (List<?>) value) {
            if (!(one instanceof byte[])) {
                throw new Fault("out-of-range", "no byte string");
            }
            found.add((byte[]) one);
        }
        return found;
    }

    /** The id of who is convicted, with the authority's certificate alone. */
    byte[] convict(Certificate root) throws Fault, GeneralSecurityException {
        byte[] subject = kind == 1 ? doubleSpend() : twoOutcomes();
        long epoch = kind == 1 ? (Long) field(0, 2) : -1;
        List<Certificate> operators = new ArrayList<>();
        for (Certificate one : certificates) {
            if (one.kind == 1) {
                operators.add(one);
            }
        }
        Fault last = new Fault("mismatch", "no certificate of the signer");
        for (Certificate one : certificates) {
            if (!Arrays.equals(one.id, subject) || kind == 1 && one.epoch != epoch) {
                continue;
            }
            try {
                one.verify(root, operators, -1, false, kind == 1 ? PURSES : PAYEES);
                if (!messages.get(0).by(one.x, one.y) || !messages.get(1).by(one.x, one.y)) {
                    throw new Fault("bad-signature", "not both are its own");
                }
                return subject;
            } catch (Fault fault) {
                last = fault;
            }
        }
        throw last;
    }

    /** Value number `index` of message `which`, counted from the suite. */
    private Object field(int which, int index) throws Fault {
        return Message.fields(types.get(which), messages.get(which).payload).get(index);
    }

    private static void need(boolean holds) throws Fault {
        if (!holds) {
            throw new Fault("mismatch", "the messages do not contradict each other");
        }
    }

    private byte[] doubleSpend() throws Fault, GeneralSecurityException {
        byte[] payer = (byte[]) field(0, 1);
        long n = (Long) field(0, 3);
        need(Arrays.equals(payer, (byte[]) field(1, 1)) && field(0, 2).equals(field(1, 2)));
        byte[] hash = messages.get(0).hash();
        if (types.get(1).equals("Voucher")) {
            need(field(1, 3).equals(n) && !Arrays.equals(hash, messages.get(1).hash()));
            return payer;
        }
        byte[] lines = (byte[]) field(1, 11);
        boolean another = false;
        for (int at = 0; at < lines.length; at += LINE) {
            boolean same = Arrays.equals(hash, Octets.part(lines, at + 5, 32));
            another |= Octets.number(Octets.part(lines, at, 4)) == n && !same;
        }
        need(another);
        return payer;
    }

    private byte[] twoOutcomes() throws Fault, GeneralSecurityException {
        byte[] payee = (byte[]) field(0, 1);
        need(Arrays.equals(payee, (byte[]) field(1, 1)) && Arrays.equals(payee, (byte[]) field(2, 4)));
        need(Arrays.equals((byte[]) field(0, 3), messages.get(2).hash()));
        need(Arrays.equals((byte[]) field(1, 3), (byte[]) field(2, 7)));
        return payee;
    }
}
