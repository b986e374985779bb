package open.ecny.runtime;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.licel.jcardsim.bouncycastle.crypto.signers.RandomDSAKCalculator;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.SecureRandom;
import org.junit.jupiter.api.Test;

/** The nonces of the simulated chip's signatures against RFC 6979, appendix A.2.5 (P-256 with SHA-256). */
class NonceTest {
    private static final BigInteger ORDER =
            new BigInteger("FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551", 16);
    private static final BigInteger SECRET =
            new BigInteger("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721", 16);

    private static RandomDSAKCalculator nonces(String message) throws Exception {
        byte[] digest = MessageDigest.getInstance("SHA-256").digest(message.getBytes(StandardCharsets.US_ASCII));
        RandomDSAKCalculator nonces = new RandomDSAKCalculator();
        nonces.init(ORDER, SECRET, digest);
        return nonces;
    }

    @Test
    void theExamplesOfTheStandard() throws Exception {
        assertTrue(new RandomDSAKCalculator().isDeterministic());
        assertEquals(
                new BigInteger("A6E3C57DD01ABE90086538398355DD4C3B17AA873382B0F24D6129493D8AAD60", 16),
                nonces("sample").nextK());
        assertEquals(
                new BigInteger("D16B6AE827F17175E040871A1C7EC3500192C4C92677336EC2537ACAEE0008E0", 16),
                nonces("test").nextK());
    }

    @Test
    void anotherTryIsAnotherNonce() throws Exception {
        RandomDSAKCalculator nonces = nonces("sample");
        assertTrue(!nonces.nextK().equals(nonces.nextK()));
    }

    @Test
    void noneIsDrawn() {
        assertThrows(IllegalStateException.class, () -> new RandomDSAKCalculator().init(ORDER, new SecureRandom()));
    }
}
