package open.ecny.runtime;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class JsonTest {
    @Test
    void readsWhatTheControlLineSays() {
        assertEquals(Map.of("tear", Map.of("at_write", 12L)), Json.parse(" {\"tear\": {\"at_write\":12} }\r"));
        assertEquals(Map.of("hash", true), Json.parse("{\"hash\":true}"));
        assertEquals(Map.of(), Json.parse("{}"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "{", "[]", "{\"a\"}", "{\"a\":}", "{\"a\":1} x", "{\"a\":1.5}", "{\"a\":\"b\\\"\"}"})
    void refusesTheRest(String text) {
        assertThrows(IllegalArgumentException.class, () -> Json.parse(text));
    }

    @Test
    void writesOneLine() {
        Map<String, Object> object = new LinkedHashMap<>();
        object.put("ok", true);
        object.put("n", 3);
        object.put("text", "a \"b\"\n");
        object.put("none", null);
        assertEquals("{\"ok\": true, \"n\": 3, \"text\": \"a \\\"b\\\"\\u000a\", \"none\": null}", Json.write(object));
    }
}
