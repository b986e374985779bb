package open.ecny.vectors;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A second implementation, from docs/spec and the Java platform, agrees with every golden vector. */
class VectorsTest {
    private static final Path FOLDER = Path.of("../../tests/vectors");

    @Test
    void everyVectorIsAgreedWith() throws IOException {
        Vectors found = Vectors.check(FOLDER);
        assertEquals(List.of(), found.wrong());
        assertTrue(found.agreed().values().stream().mapToInt(Integer::intValue).sum() > 700);
    }

    /** One digit changed in each file: each is noticed. */
    @Test
    void aWrongDigitIsNoticed(@TempDir Path copy) throws IOException {
        List<Path> files;
        try (Stream<Path> all = Files.list(FOLDER)) {
            files = all.filter(one -> one.toString().endsWith(".json")).collect(Collectors.toList());
        }
        String[][] changes = {
            {"keys.json", "\"thumbprint\": \""}, {"messages.json", "\"hash\": \""}, {"certificates.json", "\"x\": \""},
            {"audit.json", "\"sealed\": \""}, {"apdus.json", "\"c_mac\": \""},
            {"purse.json", "\"request_hash\": \""},
        };
        for (Path one : files) {
            Files.copy(one, copy.resolve(one.getFileName()), StandardCopyOption.REPLACE_EXISTING);
        }
        for (String[] change : changes) {
            Path file = copy.resolve(change[0]);
            String text = Files.readString(file);
            int at = text.indexOf(change[1]) + change[1].length();
            String digit = text.charAt(at) == '0' ? "1" : "0";
            Files.writeString(file, text.substring(0, at) + digit + text.substring(at + 1));
        }
        assertEquals(changes.length, Vectors.check(copy).wrong().size());
    }
}
