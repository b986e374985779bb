package open.ecny.runtime;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.Socket;
import java.net.SocketException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/**
 * {@code java -jar ecny-card.jar --port P}: the purse applet on a simulated chip, in a reader that listens on port P.
 *
 * <pre>
 * --host H           where the reader listens; 127.0.0.1
 * --serial HEX16     serial number; random
 * --class N          what it asks to be certified as: 3 hard wallet, 4 merchant's purse; 3
 * --seed TEXT        makes its randomness repeatable: for tests (or ECNY_CARD_SEED, which no list of processes shows)
 * --image FILE       keeps its memory there
 * --commit-bytes N   capacity of its commit buffer; 512
 * --reinsert-ms N    from a tear to the card being put back; 600, which is longer than vpcd needs to notice
 * --control          JSON lines on standard input and output ({@link ControlLine}); the process ends with the input
 * </pre>
 *
 * <p>The JVM is the card's life: power off and on is a reset. Test money only.
 */
public final class Main {
    private static final String APPLET = "open.ecny.purse.PurseApplet";
    private static final byte[] AID = bytes("F045434E595701");
    // T=0 and T=1 offered; selection by name, chaining, extended length, "ECNYW": as docs/spec/apdu.md says.
    private static final byte[] ATR = bytes("3B8D8001803180738000C06545434E59572D");
    private static final int RETRY_MS = 100;
    private static final int REINSERT_MS = 600;

    private final Map<String, String> options;

    private Main(Map<String, String> options) {
        this.options = options;
    }

    public static void main(String[] arguments) throws IOException, InterruptedException {
        PrintStream control = System.out;
        System.setOut(System.err); // the simulator prints; the control line must carry nothing but answers
        Map<String, String> options = parse(arguments);
        if (options == null || !options.containsKey("--port")) {
            System.err.println("usage: java -jar ecny-card.jar --port P [--host H] [--serial HEX16] [--class N]"
                    + " [--seed TEXT] [--image FILE] [--commit-bytes N] [--reinsert-ms N] [--control]");
            System.exit(2);
        }
        try {
            new Main(options).run(control);
        } catch (IllegalArgumentException | IOException error) {
            System.err.println("card: " + error.getMessage());
            System.exit(2);
        }
    }

    private static Map<String, String> parse(String[] arguments) {
        Map<String, String> options = new HashMap<>();
        for (int i = 0; i < arguments.length; i++) {
            if (arguments[i].equals("--control")) {
                options.put("--control", "");
            } else if (arguments[i].startsWith("--") && i + 1 < arguments.length) {
                options.put(arguments[i], arguments[++i]);
            } else {
                return null;
            }
        }
        return options;
    }

    private void run(PrintStream control) throws IOException, InterruptedException {
        byte[] serial = serial();
        int subjectClass = number("--class", 3);
        int capacity = number("--commit-bytes", Chip.COMMIT_CAPACITY);
        Chip chip = new Chip(APPLET, AID, Factory.parameters(AID, serial, (byte) subjectClass), capacity);
        CardImage image = options.containsKey("--image") ? new CardImage(Path.of(options.get("--image")), chip) : null;
        String seed = options.getOrDefault("--seed", System.getenv("ECNY_CARD_SEED"));
        if (seed != null) {
            RandomSource.replay(seed, image == null ? 1 : image.session());
        }
        if (options.containsKey("--control")) {
            Thread line = new Thread(() -> control(chip, control), "control");
            line.setDaemon(true);
            line.start();
        }
        VpcdLine card = new VpcdLine(chip, ATR, image);
        while (true) {
            int awayMs;
            try (Socket reader = new Socket(options.getOrDefault("--host", "127.0.0.1"), number("--port", 0))) {
                awayMs = card.serve(reader) ? number("--reinsert-ms", REINSERT_MS) : RETRY_MS;
            } catch (SocketException nobodyListens) {
                awayMs = RETRY_MS;
            }
            Thread.sleep(awayMs);
        }
    }

    private static void control(Chip chip, PrintStream out) {
        try {
            BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
            new ControlLine(chip).serve(in, out);
        } catch (IOException lost) {
            System.err.println("card: the control line is lost");
        }
        Runtime.getRuntime().halt(0);
    }

    private byte[] serial() {
        byte[] serial = new byte[Factory.SERIAL];
        if (options.containsKey("--serial")) {
            serial = bytes(options.get("--serial"));
        } else {
            RandomSource.fill(serial, 0, serial.length);
        }
        if (serial.length != Factory.SERIAL) {
            throw new IllegalArgumentException("a serial number has 16 hexadecimal digits");
        }
        return serial;
    }

    private int number(String option, int otherwise) {
        String text = options.get(option);
        try {
            return text == null ? otherwise : Integer.parseInt(text);
        } catch (NumberFormatException error) {
            throw new IllegalArgumentException(option + " wants a number", error);
        }
    }

    private static byte[] bytes(String hex) {
        if (hex.length() % 2 != 0 || !hex.matches("[0-9A-Fa-f]*")) {
            throw new IllegalArgumentException("not hexadecimal: " + hex);
        }
        byte[] bytes = new byte[hex.length() / 2];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) Integer.parseInt(hex.substring(2 * i, 2 * i + 2), 16);
        }
        return bytes;
    }
}
