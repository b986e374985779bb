package open.ecny.runtime;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Arrays;

/**
 * Persistent memory in a file, so that a card outlives its process: written whole after each command that changed
 * something and before its answer, so a kill is a power cut. The private key lies there in the clear: test money only.
 *
 * <p>Layout: "ECNYJC01", session number 8, SHA-256 of the applet's classes 32, content.
 */
final class CardImage {
    private static final byte[] MAGIC = "ECNYJC01".getBytes(StandardCharsets.US_ASCII);
    private static final int FINGERPRINT = 32;

    private final Path file;
    private final Chip chip;
    private final long session;
    private byte[] kept;

    /** Takes the card's memory from the file if there is one. Throws IOException for another applet's file. */
    CardImage(Path file, Chip chip) throws IOException {
        this.file = file;
        this.chip = chip;
        session = Files.exists(file) ? load() + 1 : 1;
        keep();
    }

    /** How often the card was started from this file, from 1. */
    long session() {
        return session;
    }

    /** Writes the file anew if memory is not what it says. */
    void keep() throws IOException {
        byte[] content = chip.content();
        if (kept != null && Arrays.equals(content, kept)) {
            return;
        }
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (DataOutputStream out = new DataOutputStream(bytes)) {
            out.write(MAGIC);
            out.writeLong(session);
            out.write(chip.fingerprint());
            out.write(content);
        }
        Path beside = file.resolveSibling(file.getFileName() + ".new");
        Files.write(beside, bytes.toByteArray());
        Files.move(beside, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        kept = content;
    }

    private long load() throws IOException {
        try (DataInputStream in = new DataInputStream(new ByteArrayInputStream(Files.readAllBytes(file)))) {
            if (!Arrays.equals(in.readNBytes(MAGIC.length), MAGIC)) {
                throw new IOException(file + " is no card image");
            }
            long before = in.readLong();
            if (!Arrays.equals(in.readNBytes(FINGERPRINT), chip.fingerprint())) {
                throw new IOException(file + " was made by another version of the applet");
            }
            chip.load(in.readAllBytes());
            return before;
        }
    }
}
