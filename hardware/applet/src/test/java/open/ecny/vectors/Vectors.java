package open.ecny.vectors;

import java.io.IOException;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import javax.crypto.Cipher;
import javax.crypto.spec.IvParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/**
 * Goes over tests/vectors as any other implementation would: reads, writes again, hashes, verifies, refuses. It knows
 * docs/spec and the Java platform, and nothing of the programs that made the vectors.
 */
public final class Vectors {
    private static final long ES256 = 1;

    private interface Check {
        void run() throws Exception;
    }

    private final Path folder;
    private final Map<String, Integer> agreed = new LinkedHashMap<>();
    private final List<String> wrong = new ArrayList<>();
    private Map<String, Map<String, Object>> keys = Map.of();

    private Vectors(Path folder) {
        this.folder = folder;
    }

    /** How many vectors of each kind this program agrees with. */
    public Map<String, Integer> agreed() {
        return agreed;
    }

    /** What it finds otherwise, in words. */
    public List<String> wrong() {
        return wrong;
    }

    public static void main(String[] words) throws IOException {
        Vectors found = check(Path.of(words[0]));
        found.agreed.forEach((kind, count) -> System.out.println(kind + ": " + count));
        found.wrong.forEach(one -> System.out.println("WRONG " + one));
        System.exit(found.wrong.isEmpty() ? 0 : 1);
    }

    public static Vectors check(Path folder) throws IOException {
        Vectors all = new Vectors(folder);
        all.keys();
        all.each("messages", "messages.json", all::message);
        all.each("certificates", "certificates.json", all::certificate);
        all.each("chains", "chains.json", all::chain);
        all.each("refused messages", "negative.json", all::refused);
        all.each("audit blocks", "audit.json", all::audit);
        all.each("proofs", "frauds.json", all::proof);
        for (Object one : Json.list(all.read("frauds.json").get("refused"))) {
            Map<String, Object> vector = Json.object(one);
            all.attempt("refused proofs", vector.get("name"), () -> all.refusedProof(vector));
        }
        all.each("sessions", "apdus.json", all::session);
        Map<String, Object> purse = all.read("purse.json");
        all.each("decisions of a purse", "purse.json", vector -> Purse.check(purse, vector));
        return all;
    }

    private interface VectorCheck {
        void run(Map<String, Object> vector) throws Exception;
    }

    private Map<String, Object> read(String name) throws IOException {
        return Json.read(Files.readString(folder.resolve(name)));
    }

    private void each(String kind, String file, VectorCheck check) throws IOException {
        for (Object one : Json.list(read(file).get("vectors"))) {
            Map<String, Object> vector = Json.object(one);
            attempt(kind, vector.get("name"), () -> check.run(vector));
        }
    }

    private void attempt(String kind, Object name, Check check) {
        try {
            check.run();
            agreed.merge(kind, 1, Integer::sum);
        } catch (Exception found) { // whatever goes wrong here is a disagreement to report
            wrong.add(kind + ", " + name + ": " + found);
        }
    }

    private static void same(String what, Object here, Object there) throws Fault {
        if (!here.equals(there)) {
            throw new Fault("mismatch", what + " is " + here + " here, " + there + " in the vector");
        }
    }

    // Keys

    private void keys() throws IOException {
        keys = new LinkedHashMap<>();
        Map<String, Object> listed = read("keys.json");
        for (Object one : Json.list(listed.get("keys"))) {
            Map<String, Object> key = Json.object(one);
            keys.put((String) key.get("name"), key);
            attempt("keys", key.get("name"), () -> key(key));
        }
        for (Object one : Json.list(listed.get("published"))) {
            Map<String, Object> key = Json.object(one);
            attempt("keys", key.get("origin"), () -> thumbprint(key));
        }
        byte[] content = {1, 2, 3};
        for (Object one : Json.list(listed.get("invalid"))) {
            Map<String, Object> key = Json.object(one);
            attempt("keys", key.get("why"), () -> same("verifies",
                Curve.verifies(Octets.of(key.get("x")), Octets.of(key.get("y")), content, new byte[64]), false));
        }
    }

    private void key(Map<String, Object> key) throws GeneralSecurityException, Fault {
        BigInteger scalar = Curve.scalar(Octets.of(key.get("seed")));
        same("scalar", Octets.hex(Curve.fixed(scalar)), key.get("scalar"));
        byte[][] point = Curve.point(scalar);
        same("x", Octets.hex(point[0]), key.get("x"));
        same("y", Octets.hex(point[1]), key.get("y"));
        same("cose_key", Octets.hex(Curve.coseKey(point[0], point[1])), key.get("cose_key"));
        thumbprint(key);
        byte[] signature = Curve.sign(scalar, point[0]);
        same("own signature", Curve.verifies(point[0], point[1], point[0], signature), true);
    }

    private static void thumbprint(Map<String, Object> key) throws GeneralSecurityException, Fault {
        byte[] found = Curve.thumbprint(Octets.of(key.get("x")), Octets.of(key.get("y")));
        same("thumbprint", Octets.hex(found), key.get("thumbprint"));
    }

    private byte[] coordinate(Object name, String which) {
        return Octets.of(keys.get(name).get(which));
    }

    private boolean signedBy(Message.Signed message, Object name) {
        return message.by(coordinate(name, "x"), coordinate(name, "y"));
    }

    // Messages

    private void envelope(Map<String, Object> vector, Message.Signed found) throws Exception {
        same("protected", Octets.hex(found.header), vector.get("protected"));
        same("payload", Octets.hex(found.payload), vector.get("payload"));
        same("signature", Octets.hex(found.signature), vector.get("signature"));
        same("Sig_structure", Octets.hex(found.structure()), vector.get("sig_structure"));
        same("hash", Octets.hex(found.hash()), vector.get("hash"));
        same("written again", Octets.hex(found.encode()), vector.get("cose"));
        same("signature verifies", signedBy(found, vector.get("signer")), true);
    }

    private void message(Map<String, Object> vector) throws Exception {
        Map<String, Object> wanted = Json.object(vector.get("fields"));
        if (!wanted.get("suite").equals(ES256)) {
            throw new Fault("unknown-suite", "this program knows ES256 alone");
        }
        String type = (String) vector.get("type");
        Message.Signed found = Message.parse(type, Octets.of(vector.get("cose")));
        envelope(vector, found);
        List<Object> values = Message.fields(type, found.payload);
        same("fields", shown(values), new ArrayList<>(wanted.values()));
        same("payload from fields", Octets.hex(Message.payload(type, values)), vector.get("payload"));
    }

    /** As the JSON has them: bytes in hexadecimal. */
    private static Object shown(Object value) {
        if (value instanceof byte[]) {
            return Octets.hex((byte[]) value);
        }
        if (value instanceof List) {
            List<Object> found = new ArrayList<>();
            ((List<?>) value).forEach(one -> found.add(shown(one)));
            return found;
        }
        return value;
    }

    private void refused(Map<String, Object> vector) throws Exception {
        byte[] data = Octets.of(vector.get("cose"));
        String type = (String) vector.get("read_as");
        if (vector.get("stage").equals("verify")) {
            same("verifies", signedBy(Message.parse(type, data), vector.get("key")), false);
            return;
        }
        try {
            if (type.equals("Certificate")) {
                new Certificate(data);
            } else {
                Message.parse(type, data);
            }
        } catch (Fault refused) {
            return;
        }
        throw new Fault("mismatch", "accepted here");
    }

    // Certificates

    private void certificate(Map<String, Object> vector) throws Exception {
        Certificate found = new Certificate(Octets.of(vector.get("cose")));
        envelope(vector, found.signed);
        Map<String, Object> wanted = Json.object(vector.get("fields"));
        same("issuer", Octets.hex(found.issuer), wanted.get("issuer"));
        same("x", Octets.hex(found.x), wanted.get("x"));
        same("y", Octets.hex(found.y), wanted.get("y"));
        same("class", (long) found.kind, wanted.get("subject_class"));
        same("not before", found.notBefore, wanted.get("not_before"));
        same("expires", found.expires, wanted.get("expires"));
        same("test", found.test, wanted.get("test"));
        same("epoch", found.epoch, wanted.get("epoch"));
        same("subject", Octets.hex(found.id), keys.get(vector.get("subject")).get("thumbprint"));
    }

    private void chain(Map<String, Object> vector) throws Exception {
        List<Certificate> operators = new ArrayList<>();
        for (Object one : Json.list(vector.get("operators"))) {
            operators.add(new Certificate(Octets.of(one)));
        }
        Certificate root = new Certificate(Octets.of(vector.get("root")));
        Certificate certificate = new Certificate(Octets.of(vector.get("certificate")));
        long now = vector.get("now") == null ? -1 : (Long) vector.get("now");
        String verdict = "believed";
        try {
            boolean production = (Boolean) vector.get("production");
            certificate.verify(root, operators, now, production, Json.list(vector.get("allowed")));
        } catch (Fault refused) {
            verdict = refused.code;
        }
        same("verdict", verdict, vector.get("error") == null ? "believed" : vector.get("error"));
    }

    // Audit blocks

    private void audit(Map<String, Object> vector) throws Exception {
        Map<String, Object> fields = Json.object(vector.get("fields"));
        byte[] plain = Octets.join(
            Octets.of(vector.get("nonce")), Octets.number((Long) fields.get("n"), 4),
            Octets.number((Long) fields.get("total_in"), 8), Octets.number((Long) fields.get("total_out"), 8),
            Octets.number((Long) fields.get("total_reversed"), 8), Octets.number((Long) fields.get("exposure"), 8));
        Cipher cipher = Cipher.getInstance("AES/CBC/NoPadding");
        cipher.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(Octets.of(vector.get("key")), "AES"),
            new IvParameterSpec(new byte[16]));
        same("sealed", Octets.hex(cipher.doFinal(plain)), vector.get("sealed"));
    }

    // Proofs of fraud

    private void proof(Map<String, Object> vector) throws Exception {
        Fraud found = Fraud.parse(Octets.of(vector.get("proof")));
        byte[] culprit = found.convict(new Certificate(Octets.of(vector.get("root"))));
        same("kind", found.kind, vector.get("kind"));
        same("culprit", Octets.hex(culprit), keys.get(vector.get("culprit")).get("thumbprint"));
    }

    private void refusedProof(Map<String, Object> vector) throws Exception {
        Map<String, Object> first = Json.object(Json.list(read("frauds.json").get("vectors")).get(0));
        String stage = "parse";
        try {
            Fraud found = Fraud.parse(Octets.of(vector.get("proof")));
            stage = "check";
            found.convict(new Certificate(Octets.of(first.get("root"))));
        } catch (Fault refused) {
            same("stage", stage, vector.get("stage"));
            if (stage.equals("check")) {
                same("error", refused.code, vector.get("error"));
            }
            return;
        }
        throw new Fault("mismatch", "convicted here");
    }

    // Sessions with a card

    private void session(Map<String, Object> vector) throws Exception {
        Channel channel = null;
        for (Object one : Json.list(vector.get("steps"))) {
            Map<String, Object> step = Json.object(one);
            if (!step.containsKey("channel")) {
                continue;
            }
            Map<String, Object> said = Json.object(step.get("channel"));
            if (said.containsKey("context")) {
                same("static key", said.get("k_enc"), vector.get("k_enc"));
                byte[] answer = Octets.of(step.get("answer"));
                String host = ((String) step.get("command")).substring(10, 26);
                String context = host + Octets.hex(Octets.part(answer, 13, 8));
                same("context", said.get("context"), context);
                channel = new Channel(said);
            } else if (channel != null) {
                channel.check(step);
            }
        }
        for (Object one : Json.list(vector.get("steps"))) {
            answered(Json.object(one), vector);
        }
    }

    /** What a card has signed in this session is its own and canonical. */
    private static void answered(Map<String, Object> step, Map<String, Object> session) throws Exception {
        String type = Map.of("REQUEST", "Request", "REFUSE", "Refusal", "COLLECT", "Receipt")
            .get(step.get("do"));
        boolean readable = session.get("suite").equals(ES256) && session.get("card_scalar") != null;
        if (type == null || !readable || !"9000".equals(step.get("sw"))) {
            return;
        }
        byte[][] own = Curve.point(new BigInteger((String) session.get("card_scalar"), 16));
        Message.Signed signed = Message.parse(type, Octets.of(step.get("answer")));
        same("the card's signature", signed.by(own[0], own[1]), true);
        int payee = type.equals("Request") ? 4 : 1;
        byte[] named = (byte[]) Message.fields(type, signed.payload).get(payee);
        same("the card's id", Arrays.equals(named, Curve.thumbprint(own[0], own[1])), true);
    }
}
