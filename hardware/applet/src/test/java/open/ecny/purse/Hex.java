package open.ecny.purse;

/** Hexadecimal digits; java.util.HexFormat is younger than the release that is compiled for. */
final class Hex {
    byte[] parse(String digits) {
        byte[] bytes = new byte[digits.length() / 2];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) Integer.parseInt(digits.substring(2 * i, 2 * i + 2), 16);
        }
        return bytes;
    }

    String format(byte[] bytes) {
        StringBuilder digits = new StringBuilder();
        for (byte one : bytes) {
            digits.append(String.format("%02X", one));
        }
        return digits.toString();
    }
}
