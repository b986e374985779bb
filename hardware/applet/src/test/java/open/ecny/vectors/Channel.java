package open.ecny.vectors;

import java.security.GeneralSecurityException;
import java.util.Map;
import javax.crypto.Cipher;
import javax.crypto.spec.IvParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/** SCP03 of the sessions, derived again: AES of the platform, CMAC (RFC 4493) by hand. */
final class Channel {
    private final byte[] encryption;
    private final byte[] mac;
    private final byte[] answerMac;

    /** `opened`: the `channel` of INITIALIZE UPDATE; throws Fault where it says anything else than follows. */
    Channel(Map<String, Object> opened) throws GeneralSecurityException, Fault {
        byte[] context = Octets.of(opened.get("context"));
        encryption = derive(Octets.of(opened.get("k_enc")), 4, context, 16);
        mac = derive(Octets.of(opened.get("k_mac")), 6, context, 16);
        answerMac = derive(Octets.of(opened.get("k_mac")), 7, context, 16);
        same("s_enc", opened, encryption);
        same("s_mac", opened, mac);
        same("s_rmac", opened, answerMac);
        same("card_cryptogram", opened, derive(mac, 0, context, 8));
        same("host_cryptogram", opened, derive(mac, 1, context, 8));
    }

    /** One step inside the channel. */
    void check(Map<String, Object> step) throws GeneralSecurityException, Fault {
        Map<String, Object> said = Json.object(step.get("channel"));
        same("c_mac", said, Octets.part(cmac(mac, Octets.of(said.get("c_mac_over"))), 0, 8));
        if (said.containsKey("encrypted")) {
            byte[] plain = Octets.of(said.get("plain"));
            byte[] vector = vector((Long) said.get("counter"), false);
            same("icv", said, vector);
            byte[] data = Octets.part(plain, 5, plain[4] & 0xff);
            same("encrypted", said, cbc(Cipher.ENCRYPT_MODE, vector, pad(data)));
        }
        if (said.containsKey("r_mac")) {
            same("r_mac", said, Octets.part(cmac(answerMac, Octets.of(said.get("r_mac_over"))), 0, 8));
            byte[] answer = Octets.of(step.get("answer"));
            byte[] plain = Octets.of(said.get("plain_answer"));
            if (plain.length > 0) {
                byte[] vector = vector((Long) said.get("counter"), true);
                same("answer_icv", said, vector);
                byte[] found = cbc(Cipher.DECRYPT_MODE, vector, Octets.part(answer, 0, answer.length - 8));
                if (!Octets.hex(found).equals(Octets.hex(pad(plain)))) {
                    throw new Fault("mismatch", "plain_answer");
                }
            }
        }
    }

    private static void same(String name, Map<String, Object> said, byte[] found) throws Fault {
        if (!Octets.hex(found).equals(said.get(name))) {
            throw new Fault("mismatch", name + " is " + Octets.hex(found) + " here");
        }
    }

    private static byte[] pad(byte[] data) {
        int size = (data.length / 16 + 1) * 16;
        byte[] padded = new byte[size];
        System.arraycopy(data, 0, padded, 0, data.length);
        padded[data.length] = (byte) 0x80;
        return padded;
    }

    private byte[] vector(long counter, boolean answer) throws GeneralSecurityException {
        byte[] block = Octets.number(counter, 16);
        block[0] = (byte) (answer ? 0x80 : 0);
        return block(encryption, block);
    }

    private byte[] cbc(int mode, byte[] vector, byte[] data) throws GeneralSecurityException {
        Cipher cipher = Cipher.getInstance("AES/CBC/NoPadding");
        cipher.init(mode, new SecretKeySpec(encryption, "AES"), new IvParameterSpec(vector));
        return cipher.doFinal(data);
    }

    private static byte[] derive(byte[] key, int constant, byte[] context, int size) throws GeneralSecurityException {
        byte[] label = new byte[12];
        label[11] = (byte) constant;
        byte[] fixed = {0, (byte) (8 * size >> 8), (byte) (8 * size), 1};
        return Octets.part(cmac(key, Octets.join(label, fixed, context)), 0, size);
    }

    static byte[] cmac(byte[] key, byte[] data) throws GeneralSecurityException {
        byte[] sub = doubled(block(key, new byte[16]));
        int whole = Math.max(0, (data.length - 1) / 16);
        byte[] last = Octets.part(data, 16 * whole, data.length - 16 * whole);
        if (last.length < 16) {
            last = pad(last);
            sub = doubled(sub);
        }
        byte[] state = new byte[16];
        for (int i = 0; i < whole; i++) {
            state = block(key, xor(state, Octets.part(data, 16 * i, 16)));
        }
        return block(key, xor(state, xor(last, sub)));
    }

    private static byte[] doubled(byte[] value) {
        byte[] found = new byte[16];
        for (int i = 0; i < 16; i++) {
            found[i] = (byte) (value[i] << 1 | (i < 15 ? (value[i + 1] & 0xff) >> 7 : 0));
        }
        found[15] ^= (byte) (value[0] < 0 ? 0x87 : 0);
        return found;
    }

    private static byte[] xor(byte[] one, byte[] other) {
        byte[] found = one.clone();
        for (int i = 0; i < found.length; i++) {
            found[i] ^= other[i];
        }
        return found;
    }

    private static byte[] block(byte[] key, byte[] data) throws GeneralSecurityException {
        Cipher cipher = Cipher.getInstance("AES/ECB/NoPadding");
        cipher.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(key, "AES"));
        return cipher.doFinal(data);
    }
}
