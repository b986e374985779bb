package open.ecny.client;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.EnumSet;
import java.util.Set;

/**
 * What the till has on disk: a file for each fact, there in whole or not at all, and durable when `write` returns. A
 * fact is never changed: what a sale has come to follows from which of its files are there.
 *
 * <pre>
 *   till.key till.cert operator.cert authority.cert     after enrolment
 *   sale-K.request sale-K.payer                         ASKED: the card may have been asked
 *   sale-K.voucher                                      PAID
 *   sale-K.refusal                                      REFUSED, signed by the till: it never takes a voucher for it
 *   batch-N.cose                                        SENT: frozen, the same bytes each time
 *   batch-N.answer                                      SETTLED, or whatever the operator's signature says
 * </pre>
 */
final class Journal {
    private final Path folder;

    Journal(Path folder) throws IOException {
        this.folder = Files.createDirectories(folder);
    }

    boolean has(String name) {
        return Files.exists(folder.resolve(name));
    }

    byte[] read(String name) throws IOException {
        return Files.readAllBytes(folder.resolve(name));
    }

    void write(String name, byte[] content) throws IOException {
        Path target = folder.resolve(name);
        Path beside = folder.resolve(name + ".new");
        Files.deleteIfExists(beside);
        var onlyOwner = PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------"));
        var options = Set.copyOf(EnumSet.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE));
        try (FileChannel file = FileChannel.open(beside, options, onlyOwner)) {
            for (ByteBuffer left = ByteBuffer.wrap(content); left.hasRemaining();) {
                file.write(left);
            }
            file.force(true);
        }
        Files.move(beside, target, StandardCopyOption.ATOMIC_MOVE);
        try (FileChannel directory = FileChannel.open(folder, StandardOpenOption.READ)) {
            directory.force(true); // the name too must outlast the power
        }
    }

    /** How many files `PREFIX-1SUFFIX`, `PREFIX-2SUFFIX`, … there are without a gap. */
    int count(String prefix, String suffix) {
        int found = 0;
        while (has(prefix + (found + 1) + suffix)) {
            found++;
        }
        return found;
    }
}
