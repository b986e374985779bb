package open.ecny.runtime;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The second line into the card, which no real card has: one JSON object a line, one in answer to each.
 *
 * <pre>
 * {"tear": {"at_write": N}}        power goes at the N-th persistent write from now (1: the next)
 * {"tear": {"before_answer": N}}   power goes when the N-th command from now is done and not answered
 * {"tear": null}                   no plan any more
 * {"snapshot": "name"}             keeps persistent memory under a name
 * {"restore": "name"}              puts it back; the card loses its power
 * {"report": true}                 figures in bytes, and counts
 * {"hash": true}                   SHA-256 of persistent memory
 * {"play": {"from": "name", "seed": "text", "commands": "hex hex"}}
 *                                  a whole sequence from a snapshot ({@link Sequences})
 * </pre>
 *
 * <p>Each answer has {@code "ok": true}, or false and an {@code "error"}. Commands of the reader and of this line are
 * never carried out at the same time.
 */
final class ControlLine {
    private final Chip chip;
    private final Map<String, byte[]> snapshots = new HashMap<>();

    ControlLine(Chip chip) {
        this.chip = chip;
    }

    /** Answers until the other side closes the line. */
    void serve(BufferedReader in, PrintStream out) throws IOException {
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            out.println(answer(line));
            out.flush();
        }
    }

    String answer(String line) {
        Map<String, Object> answer = new LinkedHashMap<>();
        try {
            answer.put("ok", true);
            Map<String, Object> request = Json.parse(line);
            if (request.size() != 1) {
                throw new IllegalArgumentException("one request a line");
            }
            Map.Entry<String, Object> only = request.entrySet().iterator().next();
            synchronized (chip) {
                carryOut(only.getKey(), only.getValue(), answer);
            }
        } catch (IllegalArgumentException | UncheckedIOException error) {
            answer.put("ok", false);
            answer.put("error", String.valueOf(error.getMessage()));
        }
        return Json.write(answer);
    }

    private void carryOut(String request, Object value, Map<String, Object> answer) {
        switch (request) {
            case "tear":
                tear(value);
                break;
            case "snapshot":
                snapshots.put(String.valueOf(value), chip.content());
                break;
            case "restore":
                chip.load(snapshot(value));
                break;
            case "report":
                report(answer);
                break;
            case "hash":
                answer.put("hash", hex(sha256(chip.content())));
                break;
            case "play":
                answer.put("answers", play((Map<?, ?>) value));
                break;
            default:
                throw new IllegalArgumentException("no request " + request);
        }
    }

    private byte[] snapshot(Object name) {
        byte[] content = snapshots.get(String.valueOf(name));
        if (content == null) {
            throw new IllegalArgumentException("no snapshot " + name);
        }
        return content;
    }

    private String play(Map<?, ?> what) {
        byte[] from = snapshot(what.get("from"));
        return new Sequences(chip).play(from, String.valueOf(what.get("seed")), String.valueOf(what.get("commands")));
    }

    private void tear(Object value) {
        chip.forgetTears();
        if (value == null) {
            return;
        }
        if (value instanceof Map && ((Map<?, ?>) value).size() == 1) {
            Map.Entry<?, ?> where = ((Map<?, ?>) value).entrySet().iterator().next();
            if (where.getValue() instanceof Long && (Long) where.getValue() > 0) {
                long n = (Long) where.getValue();
                if (where.getKey().equals("at_write")) {
                    chip.tearAtWrite(n);
                    return;
                }
                if (where.getKey().equals("before_answer")) {
                    chip.tearBeforeAnswer(n);
                    return;
                }
            }
        }
        throw new IllegalArgumentException("a tear is at_write or before_answer, from 1");
    }

    private void report(Map<String, Object> answer) {
        Chip.Report report = chip.report();
        answer.put("persistent_bytes", report.persistentBytes);
        answer.put("persistent_objects", report.persistentObjects);
        answer.put("transient_reset_bytes", report.transientResetBytes);
        answer.put("transient_deselect_bytes", report.transientDeselectBytes);
        answer.put("commit_capacity", report.commitCapacity);
        answer.put("commit_high_water", report.commitHighWater);
        answer.put("writes", report.writes);
        answer.put("allocations", report.allocations);
        Throwable error = chip.lastError();
        answer.put("last_error", error == null ? null : error.toString());
    }

    static byte[] sha256(byte[] bytes) {
        try {
            return MessageDigest.getInstance("SHA-256").digest(bytes);
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error);
        }
    }

    static String hex(byte[] bytes) {
        StringBuilder out = new StringBuilder();
        for (byte one : bytes) {
            out.append(String.format("%02x", one));
        }
        return out.toString();
    }
}
