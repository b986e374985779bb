package open.ecny.runtime;

import java.util.LinkedHashMap;
import java.util.Map;

/** JSON objects of strings, whole numbers, true, false, null and such objects: all that the control line says. */
final class Json {
    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    /** Throws IllegalArgumentException for anything but one object. */
    static Map<String, Object> parse(String text) {
        Json json = new Json(text);
        Map<String, Object> object = json.object();
        if (json.peek() != 0) {
            throw json.wrong();
        }
        return object;
    }

    static String write(Map<String, ?> object) {
        StringBuilder out = new StringBuilder("{");
        object.forEach((key, value) -> {
            out.append(out.length() > 1 ? ", " : "").append(quoted(key)).append(": ");
            out.append(value instanceof Number || value instanceof Boolean || value == null
                    ? String.valueOf(value)
                    : quoted(value.toString()));
        });
        return out.append('}').toString();
    }

    private static String quoted(String text) {
        StringBuilder out = new StringBuilder("\"");
        for (char one : text.toCharArray()) {
            if (one == '"' || one == '\\') {
                out.append('\\').append(one);
            } else if (one < ' ') {
                out.append(String.format("\\u%04x", (int) one));
            } else {
                out.append(one);
            }
        }
        return out.append('"').toString();
    }

    private Map<String, Object> object() {
        Map<String, Object> object = new LinkedHashMap<>();
        take('{');
        if (peek() != '}') {
            do {
                String key = string();
                take(':');
                object.put(key, value());
            } while (takes(','));
        }
        take('}');
        return object;
    }

    private Object value() {
        char next = peek();
        if (next == '{') {
            return object();
        }
        if (next == '"') {
            return string();
        }
        int start = at;
        while (at < text.length() && (Character.isLetterOrDigit(text.charAt(at)) || text.charAt(at) == '-')) {
            at++;
        }
        String word = text.substring(start, at);
        switch (word) {
            case "true":
                return true;
            case "false":
                return false;
            case "null":
                return null;
            default:
                return Long.valueOf(word); // a NumberFormatException is an IllegalArgumentException
        }
    }

    private String string() {
        take('"');
        int end = text.indexOf('"', at);
        if (end < 0 || text.substring(at, end).indexOf('\\') >= 0) {
            throw wrong();
        }
        String found = text.substring(at, end);
        at = end + 1;
        return found;
    }

    private char peek() {
        while (at < text.length() && Character.isWhitespace(text.charAt(at))) {
            at++;
        }
        return at < text.length() ? text.charAt(at) : 0;
    }

    private void take(char expected) {
        if (!takes(expected)) {
            throw wrong();
        }
    }

    private boolean takes(char expected) {
        if (peek() != expected) {
            return false;
        }
        at++;
        return true;
    }

    private IllegalArgumentException wrong() {
        return new IllegalArgumentException("no JSON object that is known here, at character " + at);
    }
}
