package open.ecny.client;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * The messages that a till writes and reads (docs/spec/messages.cddl). Each payload is a CBOR map with labels in rising
 * order, so writing it is one line a label, and reading back is comparing with what was expected.
 */
final class Messages {
    private static final int REQUEST = 1;
    private static final int VOUCHER = 2;
    private static final int REFUSAL = 4;
    private static final int DEPOSIT_BATCH = 10;
    private static final int DEPOSIT_ANSWER = 11;
    private static final int CERTIFICATION_REQUEST = 12;
    private static final int SUITE = 1;

    private Messages() {
    }

    /** What a Request says; the hash of its payload names it. */
    record Request(byte[] payer, long epoch, long n, byte[] payee, long k, long amount, byte[] order) {
        byte[] payload() {
            return new Cbor.Writer().map(9).label(0, REQUEST).label(1, SUITE).label(2, payer).label(3, Bytes.u32(epoch))
                .label(4, Bytes.u32(n)).label(5, payee).label(6, Bytes.u32(k)).label(7, Bytes.u64(amount))
                .label(8, order).done();
        }

        static Request parse(byte[] payload) throws Refused {
            Cbor.Reader in = new Cbor.Reader(payload);
            head(in, 9, REQUEST);
            Request found = new Request(in.label(2, 32), Bytes.number(in.label(3, 4)), Bytes.number(in.label(4, 4)),
                in.label(5, 32), Bytes.number(in.label(6, 4)), Bytes.number(in.label(7, 8)), in.label(8, 32));
            in.end();
            return found;
        }
    }

    /** Refuses a voucher that is not this Request's: of its eleven labels only 10 and 11 are the card's to choose. */
    static void checkVoucher(Sign1 voucher, Request request, Certificate payer) throws Refused {
        Cbor.Reader in = new Cbor.Reader(voucher.payload());
        head(in, 11, VOUCHER);
        same(in.label(2, 32), request.payer());
        same(in.label(3, 4), Bytes.u32(request.epoch()));
        same(in.label(4, 4), Bytes.u32(request.n()));
        same(in.label(5, 32), request.payee());
        same(in.label(6, 4), Bytes.u32(request.k()));
        same(in.label(7, 8), Bytes.u64(request.amount()));
        same(in.label(9, 32), Sign1.hash(request.payload()));
        in.label(10, 4);
        in.label(11, 48); // sealed for the operator
        in.end();
        if (!Arrays.equals(voucher.protectedHeader(), Sign1.ES256) || !payer.signed(voucher)) {
            throw Refused.notBelieved("the card's signature does not verify");
        }
    }

    static byte[] certificationRequest(byte[] x, byte[] y, byte[] challenge) {
        return new Cbor.Writer().map(6).label(0, CERTIFICATION_REQUEST).label(1, SUITE).label(2, x).label(3, y)
            .label(4, Certificate.TILL).label(5, challenge).done();
    }

    static byte[] batch(byte[] till, long number, byte[] previous, List<byte[]> vouchers, List<byte[]> refusals,
                        List<byte[]> certificates) {
        return new Cbor.Writer().map(8).label(0, DEPOSIT_BATCH).label(1, SUITE).label(2, till)
            .label(3, Bytes.u32(number)).label(4, previous).label(5, vouchers).label(6, refusals)
            .label(7, certificates).done();
    }

    /** The vouchers and refusals in the payload of a batch that this till has made. */
    static List<byte[]> items(byte[] batchPayload) throws Refused {
        Cbor.Reader in = new Cbor.Reader(batchPayload);
        head(in, 8, DEPOSIT_BATCH);
        in.label(2, 32);
        in.label(3, 4);
        in.label(4, 32);
        List<byte[]> found = new ArrayList<>();
        for (int label = 5; label <= 6; label++) {
            in.expect(label);
            for (int left = in.array(); left > 0; left--) {
                found.add(in.bytes());
            }
        }
        return found;
    }

    static byte[] refusal(byte[] payee, long k, byte[] requestHash) {
        return new Cbor.Writer().map(5).label(0, REFUSAL).label(1, SUITE).label(5, payee).label(6, Bytes.u32(k))
            .label(9, requestHash).done();
    }

    /** What the operator says of a batch: fen credited, a status byte for each voucher and refusal. */
    record Answer(long credited, byte[] vouchers, byte[] refusals) {
        static Answer read(byte[] bytes, byte[] batchPayload, long number, byte[] till, Certificate operator)
            throws Refused {
            Sign1 envelope = Sign1.parse(bytes);
            Cbor.Reader in = new Cbor.Reader(envelope.payload());
            head(in, 9, DEPOSIT_ANSWER);
            same(in.label(2, 32), operator.id());
            same(in.label(3, 32), till);
            same(in.label(4, 4), Bytes.u32(number));
            same(in.label(5, 32), Sign1.hash(batchPayload));
            long credited = Bytes.number(in.label(6, 8));
            in.expect(7);
            byte[] vouchers = in.bytes();
            in.expect(8);
            Answer found = new Answer(credited, vouchers, in.bytes());
            in.end();
            if (!Arrays.equals(envelope.protectedHeader(), Sign1.ES256) || !operator.signed(envelope)) {
                throw Refused.notBelieved("the operator's signature does not verify");
            }
            return found;
        }
    }

    private static void head(Cbor.Reader in, int labels, int type) throws Refused {
        if (in.map() != labels) {
            throw Refused.notBelieved("another number of labels than this message has");
        }
        in.expect(0);
        in.expect(type);
        in.expect(1);
        in.expect(SUITE);
    }

    private static void same(byte[] found, byte[] wanted) throws Refused {
        if (!Arrays.equals(found, wanted)) {
            throw Refused.notBelieved("this answers another question");
        }
    }
}
