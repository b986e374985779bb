package open.ecny.runtime;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.SecureRandom;

/**
 * All randomness of the cards in this process: the machine's, or a SHA-256 stream that a seed and a session number
 * replay (test cards only).
 */
public final class RandomSource {
    private static final SecureRandom MACHINE = new SecureRandom();
    private static byte[] key;
    private static long drawn;

    private RandomSource() {}

    /** From here on the stream of this seed. A session number is used once: a stream that repeats gives keys away. */
    public static synchronized void replay(String seed, long session) {
        key = sha256("ecny java card randomness ", seed, " ", Long.toString(session));
        drawn = 0;
    }

    /** From here on the machine's own randomness. */
    public static synchronized void useMachine() {
        key = null;
    }

    public static synchronized void fill(byte[] target, int offset, int length) {
        byte[] bytes = new byte[length];
        if (key == null) {
            MACHINE.nextBytes(bytes);
        } else {
            for (int done = 0; done < length; done += 32) {
                MessageDigest digest = newDigest();
                digest.update(key);
                byte[] block = digest.digest(Long.toString(drawn++).getBytes(StandardCharsets.US_ASCII));
                System.arraycopy(block, 0, bytes, done, Math.min(32, length - done));
            }
        }
        System.arraycopy(bytes, 0, target, offset, length);
    }

    private static byte[] sha256(String... parts) {
        return newDigest().digest(String.join("", parts).getBytes(StandardCharsets.UTF_8));
    }

    private static MessageDigest newDigest() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error);
        }
    }
}
