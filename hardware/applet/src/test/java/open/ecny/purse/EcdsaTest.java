package open.ecny.purse;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.licel.jcardsim.base.Simulator;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.security.AlgorithmParameters;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PublicKey;
import java.security.Signature;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.ECParameterSpec;
import java.security.spec.ECPoint;
import java.security.spec.ECPublicKeySpec;
import java.util.Arrays;
import open.ecny.runtime.RandomSource;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** r ‖ s and DER, there and back, in every shape that DER knows; held against the Java platform's own ECDSA. */
class EcdsaTest {
    private static final short SIZE = 2 + Layout.REQUEST;
    private static final short SIGNATURE = SIZE + Layout.SIGNATURE_HEAD;
    private static final int LEAST = 8;
    private static final int MOST = 2_000;

    private static Ecdsa ecdsa;
    private static byte[] certificate;
    private static PublicKey key;

    /** Key and nonces follow from a seed: one whose sixth message is signed with a short r. */
    @BeforeAll
    static void makeKey() throws GeneralSecurityException {
        new Simulator();
        RandomSource.replay("EcdsaTest", 9);
        Identity identity = new Identity(new State(), new Hash());
        ecdsa = new Ecdsa(identity);
        identity.make();
        certificate = new byte[Layout.CERTIFICATE]; // a verification looks at nothing in it but the key
        System.arraycopy(identity.point(), 1, certificate, Layout.CERTIFICATE_X, Curve.SIZE);
        System.arraycopy(identity.point(), 33, certificate, Layout.CERTIFICATE_Y, Curve.SIZE);
        key = publicKey(identity.point());
    }

    @AfterAll
    static void forgetSeed() {
        RandomSource.useMachine();
    }

    private static PublicKey publicKey(byte[] point) throws GeneralSecurityException {
        AlgorithmParameters curve = AlgorithmParameters.getInstance("EC");
        curve.init(new ECGenParameterSpec("secp256r1"));
        BigInteger x = new BigInteger(1, Arrays.copyOfRange(point, 1, 33));
        BigInteger y = new BigInteger(1, Arrays.copyOfRange(point, 33, 65));
        ECPublicKeySpec spec = new ECPublicKeySpec(new ECPoint(x, y), curve.getParameterSpec(ECParameterSpec.class));
        return KeyFactory.getInstance("EC").generatePublic(spec);
    }

    private static byte[] signed(int number) {
        byte[] message = new byte[SIZE + Layout.SIGNATURE_HEAD + Layout.SIGNATURE];
        ByteBuffer.wrap(message).put((byte) 0x58).put((byte) Layout.REQUEST).putInt(number);
        ecdsa.sign(message, (short) 0, SIZE);
        return message;
    }

    private static boolean verify(byte[] message) {
        return ecdsa.verify(certificate, (short) 0, message, (short) 0, SIZE);
    }

    private static boolean verifyElsewhere(byte[] message) throws GeneralSecurityException {
        Signature engine = Signature.getInstance("SHA256withECDSAinP1363Format");
        engine.initVerify(key);
        engine.update(Hash.CONTEXT);
        engine.update(Hash.PROTECTED);
        engine.update(message, 0, SIZE);
        return engine.verify(message, SIGNATURE, Layout.SIGNATURE);
    }

    @Test
    void everyShapeOfNumberGoesThereAndBack() throws GeneralSecurityException {
        int[] shapes = new int[3]; // a number that needs a zero before it, a plain one, one that is shorter: 1 in 256
        for (int i = 0; i < LEAST || Arrays.stream(shapes).anyMatch(seen -> seen == 0); i++) {
            assertTrue(i < MOST, "no number is short in " + MOST + " messages: " + Arrays.toString(shapes));
            byte[] message = signed(i);
            boolean isShort = false;
            for (int at : new int[] {SIGNATURE, SIGNATURE + Curve.SIZE}) {
                shapes[message[at] < 0 ? 0 : message[at] > 0 ? 1 : 2]++;
                isShort |= message[at] == 0;
            }
            if (i < LEAST || isShort) {
                assertTrue(verifyElsewhere(message), "message " + i);
                assertTrue(verify(message), "message " + i);
            }
        }
    }

    @Test
    void aChangeAnywhereIsNoticed() {
        byte[] message = signed(1);
        for (int at = 0; at < message.length; at += 11) {
            if (at == SIZE) {
                continue; // the head of the signature is the form's to look at
            }
            message[at] ^= 1;
            assertFalse(verify(message), "byte " + at);
            message[at] ^= 1;
        }
        assertTrue(verify(message));
    }

    @Test
    void numbersOutsideTheGroupAreNoSignature() {
        byte[] message = signed(2);
        for (int at : new int[] {SIGNATURE, SIGNATURE + Curve.SIZE}) {
            byte[] zero = message.clone();
            Arrays.fill(zero, at, at + Curve.SIZE, (byte) 0);
            assertFalse(verify(zero));
            byte[] order = message.clone();
            System.arraycopy(Curve.ORDER, 0, order, at, Curve.SIZE);
            assertFalse(verify(order));
        }
    }

    @Test
    void aPointThatIsNotOnTheCurveVerifiesNothing() {
        byte[] good = certificate.clone();
        byte[] message = signed(3);
        try {
            certificate[Layout.CERTIFICATE_Y]++;
            assertFalse(verify(message));
            Arrays.fill(certificate, Layout.CERTIFICATE_X, Layout.CERTIFICATE_X + Curve.SIZE, (byte) 0xFF);
            assertFalse(verify(message));
        } finally {
            certificate = good;
        }
        assertTrue(verify(message));
    }
}
