package open.ecny.vectors;

import java.security.GeneralSecurityException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Predicate;
import javax.crypto.Cipher;
import javax.crypto.spec.IvParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/**
 * What a purse decides, from docs/spec alone (transfer.md, apdu.md, statuses.md). A state is the JSON of the vector: it
 * is copied, changed, and compared with `after`. Each command lists its reasons in the order of statuses.md.
 */
final class Purse {
    private static final long MOST = (1L << 53) - 1;
    private static final long LAST_COUNTER = (1L << 32) - 2;
    private static final int SLOTS = 16;
    private static final int ENTRIES = 8;
    private static final long PENDING = 1;
    private static final long OPEN = 1;
    private static final long COLLECTED = 2;
    private static final long REVERSED = 3;
    private static final long REFUSED = 3;
    private static final long ACTIVE = 2;
    private static final long BLOCKED = 3;

    private final byte[] id;
    private final byte[] auditKey;
    private final Map<String, Object> state;
    private final Map<String, Object> given;
    private final Map<String, Object> policy;
    private final Map<String, Object> said = new LinkedHashMap<>();

    private Purse(Map<String, Object> file, Map<String, Object> vector) {
        id = Octets.of(file.get("purse"));
        auditKey = Octets.of(file.get("audit_key"));
        state = copy(vector.get("before"));
        given = Json.object(vector.get("given"));
        policy = Json.object(given.get("policy"));
    }

    /** Decides the vector of this file again; throws Fault where it says something else. */
    static void check(Map<String, Object> file, Map<String, Object> vector) throws Fault, GeneralSecurityException {
        Purse purse = new Purse(file, vector);
        String refused = purse.decide((String) vector.get("command"));
        if (refused == null) {
            purse.said.put("after", purse.state);
        } else {
            purse.said.clear();
            purse.said.put("refused", refused);
        }
        Map<String, Object> wanted = new LinkedHashMap<>(vector);
        wanted.keySet().removeAll(List.of("name", "command", "before", "given"));
        if (!purse.said.equals(wanted)) {
            throw new Fault("mismatch", purse.said + " here, " + wanted + " in the vector");
        }
    }

    private String decide(String command) throws GeneralSecurityException {
        switch (command) {
            case "PAY":
                return pay();
            case "REQUEST":
                return request();
            case "COLLECT":
                return collect();
            case "REFUSE":
                return refuse();
            case "RESEND":
                return resend();
            case "ACKNOWLEDGE":
                return acknowledge();
            case "REVERSE":
                return reverse();
            case "GRANT":
                return grant();
            case "REPORT":
                return report();
            default:
                return verify();
        }
    }

    // Reading and writing

    private static Map<String, Object> copy(Object value) {
        Map<String, Object> found = new LinkedHashMap<>(Json.object(value));
        for (String list : List.of("slots", "table")) {
            List<Object> items = new ArrayList<>();
            Json.list(found.get(list)).forEach(one -> items.add(new LinkedHashMap<>(Json.object(one))));
            found.put(list, items);
        }
        return found;
    }

    private static long number(Map<String, Object> of, String name) {
        return (Long) of.get(name);
    }

    private long has(String name) {
        return number(state, name);
    }

    private void add(String name, long more) {
        state.put(name, has(name) + more);
    }

    private List<Object> list(String name) {
        return Json.list(state.get(name));
    }

    private static Map<String, Object> find(List<Object> in, Predicate<Map<String, Object>> matches) {
        for (Object one : in) {
            if (matches.test(Json.object(one))) {
                return Json.object(one);
            }
        }
        return null;
    }

    /** Reason and condition, in turn; the first that applies, or null. */
    private static String first(Object... reasons) {
        for (int i = 0; i < reasons.length; i += 2) {
            if ((Boolean) reasons[i + 1]) {
                return (String) reasons[i];
            }
        }
        return null;
    }

    private boolean live() {
        return has("lifecycle") == ACTIVE || has("lifecycle") == BLOCKED;
    }

    private boolean bad(String what) {
        return given.get("certificates").equals(what);
    }

    private static boolean isPurse(long kind) {
        return kind >= 2 && kind <= 4;
    }

    private static Object octets(Object value) {
        return value instanceof String ? Octets.of(value) : value;
    }

    private static byte[] payload(String type, Map<String, Object> fields) {
        List<Object> values = new ArrayList<>();
        fields.values().forEach(one -> values.add(octets(one)));
        return Message.payload(type, values);
    }

    private static String hash(byte[] payload) throws GeneralSecurityException {
        byte[] header = {(byte) 0xa1, 0x01, 0x26};
        return Octets.hex(new Message.Signed(header, payload, new byte[64]).hash());
    }

    private long balance() {
        return has("total_in") + has("total_reversed") - has("total_out");
    }

    private long open() {
        long sum = 0;
        for (Object one : list("table")) {
            sum += number(Json.object(one), "state") == OPEN ? number(Json.object(one), "amount") : 0;
        }
        return sum;
    }

    // The payer

    private String pay() throws GeneralSecurityException {
        Map<String, Object> request = Json.object(given.get("request"));
        String hash = hash(payload("Request", request));
        boolean mine = request.get("payer").equals(Octets.hex(id)) && number(request, "epoch") == has("epoch");
        Map<String, Object> stored = find(list("slots"), slot ->
            slot.get("request_hash").equals(hash) && slot.get("n").equals(request.get("n")));
        if (live() && mine && stored != null) {
            said.put("stored", "stored " + stored.get("n"));
            return null;
        }
        Long payee = (Long) given.get("payee_class");
        long amount = number(request, "amount");
        boolean verified = (Boolean) given.get("pin_verified");
        long spendable = number(policy, "mode") == 2 ? balance()
            : Math.min(balance(), has("in_acked") + has("total_reversed") - has("total_out"));
        String refused = first(
            "WRONG_STATE", has("lifecycle") != ACTIVE,
            "WRONG_PURSE", !mine,
            "SUITE", number(request, "suite") < number(policy, "least_suite"),
            "STALE", number(request, "n") != has("next_n"),
            "SLOTS_FULL", list("slots").size() == SLOTS,
            "COUNTERS_EXHAUSTED", has("next_n") > LAST_COUNTER,
            "PAYEE_CLASS", payee != null && (number(policy, "payee_classes") >> payee & 1) == 0,
            "PAYEE_UNVERIFIED", payee == null && amount > number(policy, "payee_threshold"),
            "CERTIFICATE", payee != null && bad("CERTIFICATE"),
            "SIGNATURE", payee != null && bad("SIGNATURE"),
            "SELF_PAYMENT", request.get("payee").equals(Octets.hex(id)),
            "AMOUNT", amount < 1 || has("total_out") + amount > MOST,
            "TRANSFER_LIMIT", amount > number(policy, "transfer_limit"),
            "OFFLINE_TOTAL", has("total_out") - has("out_acked") + amount > number(policy, "offline_total"),
            "OFFLINE_COUNT", has("next_n") - has("n_acked") >= number(policy, "offline_count"),
            "INSUFFICIENT", amount > spendable,
            "PIN_BLOCKED", has("pin_tries") == 0,
            "PIN_REQUIRED", !verified && (amount > number(policy, "pin_threshold")
                || has("unverified") + amount > number(policy, "unverified_total")));
        if (refused == null) {
            debit(request, hash, verified);
        }
        return refused;
    }

    private void debit(Map<String, Object> request, String hash, boolean verified) throws GeneralSecurityException {
        long amount = number(request, "amount");
        add("next_n", 1);
        add("total_out", amount);
        add("unverified", verified ? 0 : amount);
        Map<String, Object> voucher = new LinkedHashMap<>(request);
        voucher.remove("order_hash");
        voucher.put("request_hash", hash);
        voucher.put("policy_version", policy.get("version"));
        voucher.put("audit", Octets.hex(sealed(number(request, "n"))));
        byte[] payload = payload("Voucher", voucher);
        said.put("voucher", Octets.hex(payload));
        Map<String, Object> slot = new LinkedHashMap<>();
        slot.put("state", PENDING);
        slot.put("n", request.get("n"));
        slot.put("request_hash", hash);
        slot.put("payee", request.get("payee"));
        slot.put("amount", amount);
        slot.put("voucher_hash", hash(payload));
        list("slots").add(slot);
    }

    /** The audit block of the state after the payment; the vectors' nonce is n in twelve bytes. */
    private byte[] sealed(long n) throws GeneralSecurityException {
        Cipher cipher = Cipher.getInstance("AES/CBC/NoPadding");
        cipher.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(auditKey, "AES"), new IvParameterSpec(new byte[16]));
        return cipher.doFinal(Octets.join(Octets.number(n, 12), Octets.number(n, 4), Octets.number(has("total_in"), 8),
            Octets.number(has("total_out"), 8), Octets.number(has("total_reversed"), 8),
            Octets.number(has("total_out") - has("out_acked"), 8)));
    }

    private String resend() {
        TreeMap<Long, String> found = new TreeMap<>();
        for (Object one : list("slots")) {
            Map<String, Object> slot = Json.object(one);
            boolean payee = given.get("payee").equals("") || given.get("payee").equals(slot.get("payee"));
            Object hash = given.get("request_hash");
            if (payee && (hash.equals("") || hash.equals(slot.get("request_hash")))) {
                found.put(number(slot, "n"), "stored " + slot.get("n"));
            }
        }
        said.put("stored", String.join(", ", found.values()));
        return first("WRONG_STATE", !live(), "NOT_FOUND", found.isEmpty());
    }

    // The payee

    private String request() throws GeneralSecurityException {
        Long payer = (Long) given.get("payer_class");
        for (Object one : list("table")) {
            Map<String, Object> entry = Json.object(one);
            boolean same = number(entry, "state") == OPEN && (payer == null || payer.equals(entry.get("payer_class")));
            if (live() && same && hash(asked(number(entry, "k"))).equals(entry.get("request_hash"))) {
                said.put("stored", "stored request " + entry.get("k"));
                return null;
            }
        }
        long amount = number(given, "amount");
        String refused = first(
            "WRONG_STATE", has("lifecycle") != ACTIVE,
            "SUITE", 1 < number(policy, "least_suite"),
            "SLOTS_FULL", list("table").size() == ENTRIES,
            "COUNTERS_EXHAUSTED", has("next_k") > LAST_COUNTER,
            "PAYEE_CLASS", payer != null && (number(policy, "payer_classes") >> payer & 1) == 0,
            "CERTIFICATE", payer != null && bad("CERTIFICATE"),
            "SELF_PAYMENT", given.get("payer").equals(Octets.hex(id)),
            "AMOUNT", amount < 1 || has("total_in") + open() + amount > MOST,
            "BALANCE_LIMIT", balance() + open() + amount > number(policy, "balance_limit"),
            "PIN_BLOCKED", has("pin_tries") == 0);
        if (refused == null) {
            byte[] payload = asked(has("next_k"));
            said.put("request", Octets.hex(payload));
            Map<String, Object> entry = new LinkedHashMap<>();
            entry.put("state", OPEN);
            entry.put("k", has("next_k"));
            entry.put("amount", amount);
            entry.put("request_hash", hash(payload));
            entry.put("voucher_hash", "");
            entry.put("payer_class", payer);
            list("table").add(entry);
            add("next_k", 1);
        }
        return refused;
    }

    /** The payload of the Request that this question is, at counter k. */
    private byte[] asked(long k) {
        return Message.payload("Request", Arrays.asList(1L, octets(given.get("payer")), given.get("epoch"),
            given.get("n"), id, k, given.get("amount"), octets(given.get("order_hash"))));
    }

    private String collect() throws GeneralSecurityException {
        Map<String, Object> voucher = Json.object(given.get("voucher"));
        String hash = hash(payload("Voucher", voucher));
        Map<String, Object> stored = find(list("table"), entry ->
            number(entry, "state") == COLLECTED && entry.get("voucher_hash").equals(hash));
        if (live() && stored != null) {
            said.put("stored", "stored answer " + stored.get("k"));
            return null;
        }
        long payer = number(given, "payer_class");
        Map<String, Object> entry = find(list("table"), one ->
            one.get("request_hash").equals(voucher.get("request_hash")));
        boolean gated = entry != null && Long.valueOf(payer).equals(entry.get("payer_class"));
        String refused = first(
            "WRONG_STATE", !live(),
            "WRONG_PURSE", !voucher.get("payee").equals(Octets.hex(id)),
            "PAYEE_CLASS", number(given, "own_class") == 3 && payer == 3 && !gated,
            "CERTIFICATE", bad("CERTIFICATE") || !isPurse(payer),
            "SIGNATURE", bad("SIGNATURE"),
            "REQUEST_CLOSED", entry == null || number(entry, "state") != OPEN || !answers(voucher, entry));
        if (refused != null) {
            return refused;
        }
        long amount = number(voucher, "amount");
        add("total_in", amount);
        add("in_acked", payer == 2 ? amount : 0); // the operator has seen its own load
        entry.put("state", COLLECTED);
        entry.put("voucher_hash", hash);
        said.put("receipt", Octets.hex(Message.payload("Receipt", Arrays.asList(1L, id, entry.get("k"),
            octets(hash), has("total_in"), has("total_out"), has("total_reversed")))));
        return null;
    }

    /** Labels 2 to 7 are the Request's. */
    private boolean answers(Map<String, Object> voucher, Map<String, Object> entry) {
        Map<String, Object> request =
            Json.object(Json.object(given.get("requests")).get(entry.get("request_hash")));
        return List.of("payer", "epoch", "n", "payee", "k", "amount").stream()
            .allMatch(name -> voucher.get(name).equals(request.get(name)));
    }

    private String refuse() {
        Map<String, Object> entry = find(list("table"), one ->
            one.get("request_hash").equals(given.get("request_hash")));
        if (live() && entry != null && number(entry, "state") == REFUSED) {
            said.put("stored", "stored answer " + entry.get("k"));
            return null;
        }
        String refused = first(
            "WRONG_STATE", !live(),
            "REQUEST_CLOSED", entry == null || number(entry, "state") != OPEN);
        if (refused == null) {
            entry.put("state", REFUSED);
            said.put("refusal", Octets.hex(Message.payload("Refusal",
                Arrays.asList(1L, id, entry.get("k"), octets(entry.get("request_hash"))))));
        }
        return refused;
    }

    // Endings

    private String acknowledge() {
        boolean credited = given.containsKey("receipt");
        Map<String, Object> message = Json.object(given.get(credited ? "receipt" : "refusal"));
        String name = credited ? "voucher_hash" : "request_hash";
        Map<String, Object> slot = find(list("slots"), one -> one.get(name).equals(message.get(name)));
        boolean another = slot != null && !slot.get("payee").equals(message.get("payee"));
        return end(slot, credited ? COLLECTED : REVERSED, another, isPurse(number(given, "payee_class")));
    }

    private String reverse() {
        Map<String, Object> order = Json.object(given.get("order"));
        boolean mine = order.get("payer").equals(Octets.hex(id)) && number(order, "epoch") == has("epoch");
        Map<String, Object> slot = find(list("slots"), one ->
            one.get("n").equals(order.get("n")) && one.get("voucher_hash").equals(order.get("voucher_hash")));
        return end(mine ? slot : null, REVERSED, !mine, true);
    }

    /** PENDING to `outcome`, once; an outcome that is there already is done, whatever comes with it. */
    private String end(Map<String, Object> slot, long outcome, boolean wrongPurse, boolean mayDecide) {
        if (live() && slot != null && number(slot, "state") == outcome) {
            return null;
        }
        String refused = first(
            "WRONG_STATE", !live(),
            "WRONG_PURSE", wrongPurse,
            "CERTIFICATE", !mayDecide || bad("CERTIFICATE"),
            "SIGNATURE", bad("SIGNATURE"),
            "OUTCOME_FINAL", slot != null && number(slot, "state") != PENDING,
            "NOT_FOUND", slot == null);
        if (refused == null) {
            slot.put("state", outcome);
            add("total_reversed", outcome == REVERSED ? number(slot, "amount") : 0);
        }
        return refused;
    }

    private String grant() {
        Map<String, Object> grant = Json.object(given.get("grant"));
        String refused = first(
            "WRONG_STATE", !live(),
            "WRONG_PURSE", !grant.get("purse").equals(Octets.hex(id)) || number(grant, "epoch") != has("epoch"),
            "SIGNATURE", bad("SIGNATURE"),
            "POLICY_OLD", number(policy, "version") < number(grant, "policy_version"));
        if (refused != null) {
            return refused;
        }
        rise("out_acked", grant, "total_out");
        rise("in_acked", grant, "total_in");
        rise("n_acked", grant, "next_n");
        byte[] outcomes = Octets.of(grant.get("outcomes"));
        Map<Long, Long> named = new LinkedHashMap<>();
        for (int at = 0; at < outcomes.length; at += 5) {
            named.put(Octets.number(Octets.part(outcomes, at, 4)), (long) outcomes[at + 4]);
        }
        byte[] closed = Octets.of(grant.get("closed"));
        List<Long> gone = new ArrayList<>();
        for (int at = 0; at < closed.length; at += 4) {
            gone.add(Octets.number(Octets.part(closed, at, 4)));
        }
        list("slots").removeIf(one -> {
            Long outcome = named.get(number(Json.object(one), "n"));
            long now = number(Json.object(one), "state");
            return outcome != null && (now == PENDING ? outcome == COLLECTED : outcome == now);
        });
        list("table").removeIf(one -> number(Json.object(one), "state") != OPEN
            && gone.contains(number(Json.object(one), "k")));
        return null;
    }

    /** The maximum of old and new, and never more than the purse's own. */
    private void rise(String name, Map<String, Object> grant, String own) {
        state.put(name, Math.max(has(name), Math.min(number(grant, name), has(own))));
    }

    private String report() {
        List<Object> values = new ArrayList<>(Arrays.asList(1L, id));
        for (String name : List.of("epoch", "next_n", "next_k")) {
            values.add(has(name));
        }
        values.add(policy.get("version"));
        for (String name : List.of("total_in", "total_out", "total_reversed", "out_acked", "in_acked")) {
            values.add(has(name));
        }
        values.add(lines("slots", "n", SLOTS));
        values.add(lines("table", "k", ENTRIES));
        values.add(has("lifecycle"));
        said.put("report", Octets.hex(Message.payload("Report", values)));
        return first("WRONG_STATE", !live());
    }

    private byte[] lines(String list, String counter, int size) {
        TreeMap<Long, byte[]> found = new TreeMap<>();
        for (Object one : list(list)) {
            Map<String, Object> line = Json.object(one);
            boolean voucher = list.equals("slots") || number(line, "state") == COLLECTED;
            byte[] head = Octets.join(Octets.number(number(line, counter), 4), Octets.number(number(line, "state"), 1));
            byte[] hash = Octets.of(line.get(voucher ? "voucher_hash" : "request_hash"));
            found.put(number(line, counter), Octets.join(head, hash));
        }
        byte[] all = Octets.join(found.values().toArray(new byte[0][]));
        return Arrays.copyOf(all, size * 37);
    }

    // The PIN

    private String verify() {
        String refused = first("WRONG_STATE", !live(), "PIN_BLOCKED", has("pin_tries") == 0);
        if (refused == null && given.get("pin").equals("right")) {
            state.put("pin_tries", 3L);
            state.put("unverified", 0L);
        } else if (refused == null) {
            add("pin_tries", -1);
            said.put("tries_left", has("pin_tries"));
        }
        return refused;
    }
}
