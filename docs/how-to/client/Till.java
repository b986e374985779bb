package open.ecny.client;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The till's part of a payment, on the command line: enrol, charge, deposit. Test money only. */
final class Till {
    private static final String USAGE = """
        Till enrol   --home DIR --server URL --code-file FILE --authority FILE
        Till charge  --home DIR --amount FEN [--order TEXT] [TAP]
        Till resume  --home DIR [TAP]
        Till deposit --home DIR --server URL
        TAP: [--port PORT | --reader NAME] [--pin-file FILE] [--tap-seconds S] [--retap-seconds S]
        charge and resume wait for a card at a port of 127.0.0.1 (0, the default: a free one) or in a PC/SC reader.""";

    private final Journal journal;

    private Till(Path home) throws IOException {
        journal = new Journal(home);
    }

    public static void main(String[] words) throws IOException, GeneralSecurityException {
        int code = 0;
        try {
            run(words);
        } catch (Refused refused) {
            System.err.println(refused.getMessage() + (refused.code == Refused.USAGE ? "\n" + USAGE : ""));
            code = refused.code;
        }
        System.exit(code);
    }

    private static void run(String[] words) throws Refused, IOException, GeneralSecurityException {
        if (words.length % 2 == 0) {
            throw new Refused(Refused.USAGE, "a command, and options with their values");
        }
        Map<String, String> options = new HashMap<>();
        for (int i = 1; i < words.length; i += 2) {
            options.put(words[i], words[i + 1]);
        }
        Till till = new Till(Path.of(needed(options, "--home")));
        switch (words[0]) {
            case "enrol" -> till.enrol(options);
            case "charge", "resume" -> till.sell(options, words[0].equals("resume"));
            case "deposit" -> till.deposit(new Server(needed(options, "--server")));
            default -> throw new Refused(Refused.USAGE, words[0] + " is no command");
        }
    }

    private static String needed(Map<String, String> options, String name) throws Refused {
        String value = options.get(name);
        if (value == null) {
            throw new Refused(Refused.USAGE, name + " is missing");
        }
        return value;
    }

    private static long number(String name, String value) throws Refused {
        try {
            return Long.parseLong(value);
        } catch (NumberFormatException wrong) {
            throw new Refused(Refused.USAGE, name + " takes a whole number");
        }
    }

    private static long now() {
        return System.currentTimeMillis() / 1000;
    }

    // Enrolment

    /** A second try after a lost answer uses the same key: it gets the same certificates. */
    private void enrol(Map<String, String> options) throws Refused, IOException, GeneralSecurityException {
        if (!journal.has("till.pub")) {
            KeyPair pair = Key.generate();
            PublicKey fresh = pair.getPublic();
            journal.write("till.key", pair.getPrivate().getEncoded());
            journal.write("till.pub", Bytes.join(Key.x(fresh), Key.y(fresh)));
        }
        byte[] point = journal.read("till.pub");
        byte[] x = Arrays.copyOf(point, Key.COORDINATE);
        byte[] y = Arrays.copyOfRange(point, Key.COORDINATE, 2 * Key.COORDINATE);
        String oneTime = Files.readString(Path.of(needed(options, "--code-file"))).strip();
        byte[] asked = Messages.certificationRequest(x, y, Bytes.sha256(Bytes.utf8(oneTime)));
        Server server = new Server(needed(options, "--server"));
        Map<String, String> papers = server.enrol(oneTime, Sign1.sign(asked, key()).encode());

        Certificate authority = Certificate.parse(Files.readAllBytes(Path.of(needed(options, "--authority"))));
        Certificate operator = Certificate.parse(paper(papers, "operator_certificate"));
        Certificate own = Certificate.parse(paper(papers, "certificate"));
        own.verify(operator, authority, now(), Certificate.TILL);
        if (!Arrays.equals(own.id(), Key.id(x, y))) {
            throw Refused.notBelieved("the certificate is for another key");
        }
        journal.write("authority.cert", authority.bytes());
        journal.write("operator.cert", operator.bytes());
        journal.write("till.cert", own.bytes()); // last: without it the till is not enrolled
        System.out.println("enrolled " + Bytes.hex(own.id()));
    }

    private static byte[] paper(Map<String, String> papers, String name) throws Refused {
        try {
            return Bytes.of(papers.getOrDefault(name, ""));
        } catch (IllegalArgumentException wrong) {
            throw Refused.notBelieved(name + " is not hexadecimal");
        }
    }

    private PrivateKey key() throws IOException, GeneralSecurityException {
        return Key.fromPkcs8(journal.read("till.key"));
    }

    private Certificate certificate(String name) throws Refused, IOException {
        if (!journal.has("till.cert")) {
            throw new Refused(Refused.CONFIGURATION, "this till is not enrolled");
        }
        return Certificate.parse(journal.read(name));
    }

    // A sale

    private void sell(Map<String, String> options, boolean again)
        throws Refused, IOException, GeneralSecurityException {
        Papers papers =
            new Papers(certificate("till.cert"), certificate("operator.cert"), certificate("authority.cert"));
        String pinFile = options.get("--pin-file");
        String pin = pinFile == null ? null : Files.readString(Path.of(pinFile)).strip();
        long tap = number("--tap-seconds", options.getOrDefault("--tap-seconds", "30"));
        long retap = number("--retap-seconds", options.getOrDefault("--retap-seconds", "30"));
        long amount = again ? 0 : number("--amount", needed(options, "--amount"));
        int open = Sale.open(journal);
        if ((open > 0) != again) {
            String why = again ? "no sale is open" : "sale " + open + " is open: resume it";
            throw new Refused(Refused.CONFIGURATION, why);
        }
        try (Reader reader = reader(options)) {
            System.out.println("waiting for a card in " + reader.where());
            Sale sale = new Sale(journal, key(), papers, reader, pin, tap, retap);
            if (again) {
                sale.resume(open);
            } else {
                byte[] order = Bytes.sha256(Bytes.utf8(options.getOrDefault("--order", "a sale")));
                sale.begin(amount, order);
            }
        }
    }

    private static Reader reader(Map<String, String> options) throws Refused, IOException {
        String name = options.get("--reader");
        int port = (int) number("--port", options.getOrDefault("--port", "0"));
        return name != null ? new PcscReader(name) : new SocketReader(port);
    }

    /** The certificates that a till lives by. */
    record Papers(Certificate till, Certificate operator, Certificate authority) {
    }

    // Deposit

    /** Freezes a batch, unless one is frozen that has no answer, and sends it: the same bytes each time. */
    private void deposit(Server server) throws Refused, IOException, GeneralSecurityException {
        Certificate till = certificate("till.cert");
        Certificate operator = certificate("operator.cert");
        long number = journal.count("batch-", ".cose");
        if (number == journal.count("batch-", ".answer")) {
            byte[] previous = number == 0 ? new byte[32] : Sign1.hash(payload("batch-" + number + ".cose"));
            byte[] frozen = freeze(till, number + 1, previous);
            if (frozen == null) {
                System.out.println("nothing to deposit");
                return;
            }
            number++;
            journal.write("batch-" + number + ".cose", Sign1.sign(frozen, key()).encode());
        }
        byte[] answer = server.deposit(journal.read("batch-" + number + ".cose"));
        byte[] batch = payload("batch-" + number + ".cose");
        Messages.Answer said = Messages.Answer.read(answer, batch, number, till.id(), operator);
        if (said.vouchers().length + said.refusals().length != Messages.items(batch).size()) {
            throw Refused.notBelieved("the answer has another number of statuses than the batch has items");
        }
        journal.write("batch-" + number + ".answer", answer);
        System.out.println("batch " + number + ": credited " + said.credited() + " fen; statuses of vouchers "
            + Bytes.hex(said.vouchers()) + ", of refusals " + Bytes.hex(said.refusals()));
        for (byte status : Bytes.join(said.vouchers(), said.refusals())) {
            if (status != 0) {
                throw new Refused(Refused.SERVER_REFUSED, "not everything was settled: see docs/spec/statuses.md");
            }
        }
    }

    private byte[] payload(String name) throws Refused, IOException {
        return Sign1.parse(journal.read(name)).payload();
    }

    /** The payload of the next batch: what is PAID or REFUSED and in no batch yet; null where there is nothing. */
    private byte[] freeze(Certificate till, long number, byte[] previous) throws Refused, IOException {
        List<byte[]> vouchers = new ArrayList<>();
        List<byte[]> refusals = new ArrayList<>();
        Map<String, byte[]> payers = new LinkedHashMap<>(); // each once
        Set<String> sent = new HashSet<>();
        for (int i = 1; i < number; i++) {
            Messages.items(payload("batch-" + i + ".cose")).forEach(item -> sent.add(Bytes.hex(item)));
        }
        for (int k = 1; k <= journal.count("sale-", ".request"); k++) {
            String sale = "sale-" + k;
            for (String outcome : List.of(".voucher", ".refusal")) {
                byte[] item = journal.has(sale + outcome) ? journal.read(sale + outcome) : null;
                if (item == null || !sent.add(Bytes.hex(item))) {
                    continue;
                }
                (outcome.equals(".voucher") ? vouchers : refusals).add(item);
                byte[] payer = journal.read(sale + ".payer");
                payers.put(Bytes.hex(payer), payer);
            }
        }
        if (vouchers.isEmpty() && refusals.isEmpty()) {
            return null;
        }
        return Messages.batch(till.id(), number, previous, vouchers, refusals, List.copyOf(payers.values()));
    }
}
