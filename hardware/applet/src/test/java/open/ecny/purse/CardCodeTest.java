package open.ecny.purse;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The applet's class files mean the same to a card that has no int, and nothing is made or kept outside its arrays. */
class CardCodeTest {
    private static final String PURSE = "open/ecny/purse/PurseApplet.";

    private static CardCode applet() throws IOException, URISyntaxException {
        Path folder = Path.of(PurseApplet.class.getProtectionDomain().getCodeSource().getLocation().toURI())
                .resolve("open/ecny/purse");
        CardCode code = new CardCode();
        try (Stream<Path> files = Files.list(folder)) {
            for (Path file : files.sorted().collect(Collectors.toList())) {
                code.read(Files.readAllBytes(file));
            }
        }
        return code;
    }

    private static CardCode code(Class<?> type) {
        CardCode code = new CardCode();
        try (InputStream file = type.getResourceAsStream(type.getName().replaceAll(".*\\.", "") + ".class")) {
            code.read(file.readAllBytes());
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        return code;
    }

    @Test
    void theAppletNeedsNoInt() throws IOException, URISyntaxException {
        CardCode code = applet();
        assertEquals(List.of(), code.faults());
        assertTrue(code.methods().size() > 200, "all classes were read: " + code.methods().size());
    }

    /** No object, no array, and no field: what a command changes lies in arrays that were made at installation. */
    @Test
    void noCommandMakesAnythingOrWritesAField() throws IOException, URISyntaxException {
        CardCode code = applet();
        assertEquals(Set.of(), code.madeFrom(PURSE + "process(Ljavacard/framework/APDU;)V"));
        assertFalse(code.madeFrom(PURSE + "install([BSB)V").isEmpty());
    }

    /** Each method is a mistake that javac lets through, or a thing that a Java Card has not. */
    static final class Wrong {
        short kept;

        static byte index(byte[] array, short at) {
            return array[at + 1];
        }

        static boolean compared(short left, short right) {
            return left + right > 100;
        }

        static short halved(short left, short right) {
            return (short) ((left + right) >> 1);
        }

        static boolean chosen(boolean first, short left) {
            return (first ? left * 2 : left) == 6;
        }

        static short divided(short left) {
            return (short) ((left << 1) / 3);
        }

        static boolean shifted(byte[] flags, short at) {
            return (flags[at] << 8 & 0x100) != 0;
        }

        static boolean large(short left) {
            return (left & 0xFFFF) > 40_000;
        }

        static short counted() {
            short sum = 0;
            for (int i = 0; i < 3; i++) {
                sum++;
            }
            return sum;
        }

        static boolean text(String one) {
            return one.isEmpty();
        }

        static byte[] made() {
            return new byte[1];
        }

        void keep(short value) {
            kept = value;
        }
    }

    /** The same, right. */
    static final class Right {
        static byte index(byte[] array, short at) {
            return array[(short) (at + 1)];
        }

        static boolean compared(short left, short right) {
            return (short) (left + right) > 100;
        }

        static short halved(short left, short right) {
            return (short) ((short) (left + right) >> 1);
        }

        static short chosen(boolean first, byte[] array, short left) {
            short sum = (short) (left + (array[left] & 0xFF) + (first ? left : (array[0] ^ left)));
            array[left++]++;
            return ++sum;
        }
    }

    private static final class Long {
        static long twice(long value) {
            return 2 * value;
        }
    }

    private static final class Joined {
        static String twice(String value) {
            return value + value;
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"index", "compared", "halved", "chosen", "divided", "shifted", "large", "counted", "text"})
    void aMistakeIsFound(String method) {
        List<String> faults = code(Wrong.class).faults();
        assertTrue(faults.stream().anyMatch(fault -> fault.contains("." + method + "(")), faults.toString());
    }

    @Test
    void whatIsRightIsLetThrough() {
        assertEquals(List.of(), code(Right.class).faults());
    }

    @Test
    void whatIsMadeIsFound() {
        CardCode code = code(Wrong.class);
        String wrong = Wrong.class.getName().replace('.', '/') + ".";
        assertEquals(Set.of(wrong + "made()[B: new array"), code.madeFrom(wrong + "made()[B"));
        assertEquals(1, code.madeFrom(wrong + "keep(S)V").size());
        assertEquals(Set.of(), code.madeFrom(wrong + "index([BS)B"));
    }

    @Test
    void otherTypesAreNotReadAtAll() {
        assertThrows(IllegalStateException.class, () -> code(Long.class));
        assertThrows(IllegalStateException.class, () -> code(Joined.class));
    }
}
