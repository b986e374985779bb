package open.ecny.runtime;

import java.util.Arrays;

/**
 * Whole sequences of commands in one go, for a run that sends a million of them: from a snapshot, with randomness out
 * of a seed, and with a look at persistent memory around every command.
 */
final class Sequences {
    private final Chip chip;

    Sequences(Chip chip) {
        this.chip = chip;
    }

    /**
     * Puts the snapshot back, powers the card on, and gives it the commands (hexadecimal, a space between them).
     *
     * @return one word for each: the answer in hexadecimal, {@code !} before it when a command that failed has changed
     *     persistent memory, {@code -} when the card gave no answer; {@code ?} before it when the applet has thrown
     * what it     did not say itself
     */
    String play(byte[] snapshot, String seed, String commands) {
        chip.load(snapshot);
        RandomSource.replay(seed, 0);
        chip.powerOn();
        StringBuilder out = new StringBuilder();
        byte[] before = chip.content();
        for (String command : commands.split(" ")) {
            if (command.isEmpty()) {
                break; // no commands at all
            }
            byte[] answer;
            try {
                answer = chip.transmit(bytes(command));
            } catch (PowerLost noAnswer) {
                out.append("- ");
                continue;
            }
            byte[] after = chip.content();
            if (chip.lastError() != null) {
                out.append('?');
            }
            if (failed(answer) && !Arrays.equals(before, after)) {
                out.append('!');
            }
            append(out, answer);
            out.append(' ');
            before = after;
        }
        chip.powerOff();
        return out.toString().trim();
    }

    /** 61XX and 9000 say that the command was done, 63CX that VERIFY has used up a try. */
    private static boolean failed(byte[] answer) {
        int word = (answer[answer.length - 2] & 0xFF) << 8 | answer[answer.length - 1] & 0xFF;
        return word != 0x9000 && (word & 0xFF00) != 0x6100 && (word & 0xFFF0) != 0x63C0;
    }

    private static byte[] bytes(String hex) {
        byte[] bytes = new byte[hex.length() / 2];
        for (int i = 0; i < bytes.length; i++) {
            int high = Character.digit(hex.charAt(2 * i), 16);
            bytes[i] = (byte) (high << 4 | Character.digit(hex.charAt(2 * i + 1), 16));
        }
        return bytes;
    }

    private static void append(StringBuilder out, byte[] bytes) {
        for (byte one : bytes) {
            out.append(Character.forDigit(one >> 4 & 0xF, 16)).append(Character.forDigit(one & 0xF, 16));
        }
    }
}
