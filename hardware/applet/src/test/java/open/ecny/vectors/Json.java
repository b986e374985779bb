package open.ecny.vectors;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The JSON of the vectors: objects, arrays, strings, whole numbers, true, false, null. */
final class Json {
    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    static Map<String, Object> read(String text) {
        return object(new Json(text).value());
    }

    @SuppressWarnings("unchecked")
    static Map<String, Object> object(Object value) {
        return (Map<String, Object>) value;
    }

    @SuppressWarnings("unchecked")
    static List<Object> list(Object value) {
        return (List<Object>) value;
    }

    private Object value() {
        char first = peek();
        if (first == '{') {
            return members();
        }
        if (first == '[') {
            List<Object> found = new ArrayList<>();
            for (at++; peek() != ']'; skip(',')) {
                found.add(value());
            }
            at++;
            return found;
        }
        if (first == '"') {
            return string();
        }
        int start = at;
        while ("+-.0123456789abcdefghijklmnopqrstuvwxyz".indexOf(text.charAt(at)) >= 0) {
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
                return word.length() > 18 ? new java.math.BigInteger(word) : (Object) Long.valueOf(word);
        }
    }

    private Map<String, Object> members() {
        Map<String, Object> found = new LinkedHashMap<>();
        for (at++; peek() != '}'; skip(',')) {
            peek();
            String name = string();
            skip(':');
            found.put(name, value());
        }
        at++;
        return found;
    }

    private String string() {
        StringBuilder out = new StringBuilder();
        for (at++; text.charAt(at) != '"'; at++) {
            if (text.charAt(at) != '\\') {
                out.append(text.charAt(at));
                continue;
            }
            char escaped = text.charAt(++at);
            if (escaped == 'u') {
                out.append((char) Integer.parseInt(text.substring(at + 1, at + 5), 16));
                at += 4;
            } else {
                int which = "bfnrt".indexOf(escaped);
                out.append(which < 0 ? escaped : "\b\f\n\r\t".charAt(which));
            }
        }
        at++;
        return out.toString();
    }

    private char peek() {
        while (Character.isWhitespace(text.charAt(at))) {
            at++;
        }
        return text.charAt(at);
    }

    private void skip(char expected) {
        if (peek() == expected) {
            at++;
        }
    }
}
