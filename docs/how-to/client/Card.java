package open.ecny.client;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Arrays;

/** The commands of docs/spec/apdu.md that a till sends, over anything that exchanges an APDU for an answer. */
final class Card {
    static final int DONE = 0x9000;
    static final int STALE = 0x69E1;
    static final int PIN_REQUIRED = 0x6982;
    static final int CERTIFICATE = 0x7F21;
    static final int OPERATOR_CERTIFICATE = 0x7F22;
    private static final byte[] AID = Bytes.of("f045434e595701");
    private static final int ONE_COMMAND = 255;
    private static final int CHAINING = 0x10;

    /** Data and status word of one answer, whole: what `61xx` announced has been fetched. */
    record Answer(byte[] data, int sw) {
        byte[] orRefuse(String what) throws Refused {
            if (sw != DONE) {
                throw new Refused(Refused.CARD_REFUSED, String.format("%s: the card answers %04X", what, sw));
            }
            return data;
        }
    }

    /** What SELECT tells anyone. */
    record Shown(int lifecycle, byte[] id, long epoch, long n, long balance, long payeeThreshold) {
        static final int ACTIVE = 2;
    }

    private final Reader reader;

    Card(Reader reader) {
        this.reader = reader;
    }

    Shown select() throws IOException, Refused {
        byte[] fci = send(0x00, 0xA4, 0x04, 0x00, AID).orRefuse("SELECT");
        // 6F L 84 07 AID A5 L, then C0 to C9, each always there and of one size.
        ByteBuffer in = ByteBuffer.wrap(fci);
        expect(in, 0x6F, fci.length - 2);
        expect(in, 0x84, AID.length);
        if (!Arrays.equals(take(in, AID.length), AID)) {
            throw Refused.notBelieved("another application answers");
        }
        expect(in, 0xA5, in.remaining() - 2);
        int lifecycle = (int) field(in, 0xC0, 1);
        expect(in, 0xC1, 32);
        byte[] id = take(in, 32);
        long epoch = field(in, 0xC2, 4);
        long n = field(in, 0xC3, 4);
        field(in, 0xC4, 4);
        long balance = field(in, 0xC5, 8);
        field(in, 0xC6, 2);
        field(in, 0xC7, 1);
        field(in, 0xC8, 4);
        return new Shown(lifecycle, id, epoch, n, balance, field(in, 0xC9, 8));
    }

    byte[] object(int tag) throws IOException, Refused {
        return send(0x00, 0xCA, tag >> 8, tag & 0xff, new byte[0]).orRefuse("GET DATA");
    }

    Answer pay(byte[] requestPayload) throws IOException {
        return send(0x80, 0x32, 0x00, 0x00, requestPayload);
    }

    /** PAY, payee verified: the signed Request with the payee's and its operator's certificate. */
    Answer pay(byte[] signedRequest, byte[] payee, byte[] operator) throws IOException {
        return send(0x80, 0x32, 0x01, 0x00, Bytes.join(signedRequest, payee, operator));
    }

    /** ISO 9564-1, format 2: control and length, the digits, filled up with F. */
    Answer verify(String pin) throws IOException {
        String digits = String.format("2%x%s", pin.length(), pin);
        return send(0x00, 0x20, 0x00, 0x01, Bytes.of(digits + "f".repeat(16 - digits.length())));
    }

    /** Commands longer than 255 bytes are chained (ISO 7816-4, 5.4.1), which every reader carries. */
    private Answer send(int cla, int ins, int p1, int p2, byte[] data) throws IOException {
        int at = 0;
        for (; data.length - at > ONE_COMMAND; at += ONE_COMMAND) {
            byte[] piece = Arrays.copyOfRange(data, at, at + ONE_COMMAND);
            Answer answer = exchange(cla | CHAINING, ins, p1, p2, piece, false);
            if (answer.sw() != DONE) {
                return answer;
            }
        }
        Answer answer = exchange(cla, ins, p1, p2, Arrays.copyOfRange(data, at, data.length), true);
        byte[] whole = answer.data();
        while (answer.sw() >> 8 == 0x61) {
            answer = exchange(0x00, 0xC0, 0x00, 0x00, new byte[0], true, answer.sw() & 0xff);
            if (answer.sw() != DONE && answer.sw() >> 8 != 0x61) {
                throw new Reader.CardLost("the rest of an answer did not come", null); // no refusal of the command
            }
            whole = Bytes.join(whole, answer.data());
        }
        return new Answer(whole, answer.sw());
    }

    private Answer exchange(int cla, int ins, int p1, int p2, byte[] data, boolean answers) throws IOException {
        return exchange(cla, ins, p1, p2, data, answers, 0);
    }

    private Answer exchange(int cla, int ins, int p1, int p2, byte[] data, boolean answers, int le) throws IOException {
        byte[] header = {(byte) cla, (byte) ins, (byte) p1, (byte) p2};
        byte[] lc = data.length == 0 ? new byte[0] : new byte[] {(byte) data.length};
        byte[] end = answers ? new byte[] {(byte) le} : new byte[0]; // Le 00: up to 256 bytes
        byte[] answer = reader.exchange(Bytes.join(header, lc, data, end));
        if (answer.length < 2) {
            throw new Reader.CardLost("half an answer", null);
        }
        int sw = (answer[answer.length - 2] & 0xff) << 8 | answer[answer.length - 1] & 0xff;
        return new Answer(Arrays.copyOf(answer, answer.length - 2), sw);
    }

    private static byte[] take(ByteBuffer in, int size) throws Refused {
        if (in.remaining() < size) {
            throw Refused.notBelieved("the answer to SELECT is cut");
        }
        byte[] found = new byte[size];
        in.get(found);
        return found;
    }

    private static void expect(ByteBuffer in, int tag, int size) throws Refused {
        byte[] found = take(in, 2);
        if ((found[0] & 0xff) != tag || (found[1] & 0xff) != size) {
            throw Refused.notBelieved("not the answer to SELECT of a purse");
        }
    }

    private static long field(ByteBuffer in, int tag, int size) throws Refused {
        expect(in, tag, size);
        return Bytes.number(take(in, size));
    }
}
