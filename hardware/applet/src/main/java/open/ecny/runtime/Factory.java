package open.ecny.runtime;

import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.Arrays;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * What the card maker does to a test card: transport keys out of the published test batch key and the serial number,
 * and the installation parameters that carry them.
 */
final class Factory {
    static final int SERIAL = 8;
    private static final int KEY = 16;
    private static final byte TEST_CARD = 0;
    private static final byte KEY_VERSION = 1;
    private static final String BATCH = "ecny test batch of cards: this key is public";

    private Factory() {}

    /** Length and value three times: instance AID, control information (none), the applet's own 43 bytes. */
    static byte[] parameters(byte[] aid, byte[] serial, byte subjectClass) {
        byte[] factory = join(
                serial,
                new byte[] {subjectClass, TEST_CARD, KEY_VERSION},
                key("ecny transport key ENC", serial),
                key("ecny transport key MAC", serial));
        return join(new byte[] {(byte) aid.length}, aid, new byte[] {0, (byte) factory.length}, factory);
    }

    private static byte[] key(String label, byte[] serial) {
        try {
            byte[] batch = MessageDigest.getInstance("SHA-256").digest(BATCH.getBytes(StandardCharsets.US_ASCII));
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(batch, "HmacSHA256"));
            return Arrays.copyOf(mac.doFinal(join(label.getBytes(StandardCharsets.US_ASCII), serial)), KEY);
        } catch (GeneralSecurityException error) {
            throw new IllegalStateException(error);
        }
    }

    private static byte[] join(byte[]... parts) {
        int size = Arrays.stream(parts).mapToInt(part -> part.length).sum();
        byte[] whole = new byte[size];
        int at = 0;
        for (byte[] part : parts) {
            System.arraycopy(part, 0, whole, at, part.length);
            at += part.length;
        }
        return whole;
    }
}
