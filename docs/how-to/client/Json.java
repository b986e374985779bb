package open.ecny.client;

import java.util.LinkedHashMap;
import java.util.Map;

/** As much JSON as the server's answers need here: one object, of which the members that are strings are kept. */
final class Json {
    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    /** The string members of the outermost object; whatever else is in it is passed over. */
    static Map<String, String> strings(String text) throws Refused {
        Json in = new Json(text);
        try {
            return in.object(true);
        } catch (StringIndexOutOfBoundsException cut) {
            throw Refused.notBelieved("half an answer");
        }
    }

    static String object(Map<String, String> members) {
        StringBuilder out = new StringBuilder("{");
        members.forEach((name, value) ->
            out.append(out.length() > 1 ? "," : "").append(quoted(name)).append(':').append(quoted(value)));
        return out.append('}').toString();
    }

    private static String quoted(String value) {
        StringBuilder out = new StringBuilder("\"");
        for (char c : value.toCharArray()) {
            if (c < ' ' || c == '"' || c == '\\') {
                out.append(String.format("\\u%04x", (int) c));
            } else {
                out.append(c);
            }
        }
        return out.append('"').toString();
    }

    private Map<String, String> object(boolean keep) throws Refused {
        Map<String, String> found = new LinkedHashMap<>();
        expect('{');
        while (peek() != '}') {
            String name = string();
            expect(':');
            String value = value();
            if (keep && value != null) {
                found.put(name, value);
            }
            if (peek() == ',') {
                expect(',');
            }
        }
        expect('}');
        return found;
    }

    /** The string, or null for any other value. */
    private String value() throws Refused {
        char first = peek();
        if (first == '"') {
            return string();
        }
        if (first == '{') {
            object(false);
        } else if (first == '[') {
            expect('[');
            while (peek() != ']') {
                value();
                if (peek() == ',') {
                    expect(',');
                }
            }
            expect(']');
        } else {
            while (",]}".indexOf(peek()) < 0) { // a number, true, false, null
                at++;
            }
        }
        return null;
    }

    private String string() throws Refused {
        expect('"');
        StringBuilder out = new StringBuilder();
        for (char c = text.charAt(at++); c != '"'; c = text.charAt(at++)) {
            if (c != '\\') {
                out.append(c);
                continue;
            }
            char escaped = text.charAt(at++);
            if (escaped == 'u') {
                out.append((char) Integer.parseInt(text.substring(at, at += 4), 16));
            } else {
                int which = "bfnrt".indexOf(escaped);
                out.append(which < 0 ? escaped : "\b\f\n\r\t".charAt(which));
            }
        }
        return out.toString();
    }

    private char peek() {
        while (" \t\r\n".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
        return text.charAt(at);
    }

    private void expect(char wanted) throws Refused {
        if (peek() != wanted) {
            throw Refused.notBelieved("not JSON");
        }
        at++;
    }
}
