package open.ecny.purse;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.stream.Stream;
import javacard.framework.ISOException;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** The forms against the sizes of the specification, and every constant byte against a change. */
class FormTest {
    private static final int ENVELOPE = 2 + 4 + 1 + 2 + 2 + 64;

    static Stream<Arguments> forms() {
        return Stream.of(
                Arguments.of(Form.REQUEST, 138),
                Arguments.of(Form.VOUCHER, 195),
                Arguments.of(Form.RECEIPT, 111),
                Arguments.of(Form.REFUSAL, 81),
                Arguments.of(Form.ORDER, 122),
                Arguments.of(Form.GRANT, 231),
                Arguments.of(Form.POLICY, 130),
                Arguments.of(Form.CERTIFICATION_REQUEST, 112));
    }

    /** Bytes of a form's runs and fields together, and of its runs alone. */
    private static int[] sizes(byte[] form) {
        int whole = 0;
        int runs = 0;
        for (int i = 0; i < form.length; ) {
            int run = form[i];
            int field = form[i + run + 1] & 0xFF;
            whole += run + field;
            runs += run;
            i += run + 2;
        }
        return new int[] {whole, runs};
    }

    private static short refused(Runnable check) {
        return assertThrows(ISOException.class, check::run).getReason();
    }

    @ParameterizedTest
    @MethodSource("forms")
    void aFormHasTheSizeOfItsMessage(byte[] form, int size) {
        assertEquals(size, sizes(form)[0]);
    }

    @ParameterizedTest
    @MethodSource("forms")
    void everyConstantByteCounts(byte[] form, int size) {
        byte[] message = new byte[size + ENVELOPE];
        short payload = Form.laySigned(form, (short) size, message, (short) 0);
        assertEquals(Layout.PAYLOAD, payload);
        Form.requireSigned(form, (short) size, message, (short) 0);
        int constants = 0;
        for (int at = 0; at < message.length; at++) {
            message[at] ^= 0x40;
            byte[] changed = message.clone();
            try {
                Form.requireSigned(form, (short) size, changed, (short) 0);
            } catch (ISOException refused) {
                assertEquals(Words.MALFORMED, refused.getReason());
                constants++;
            }
            message[at] ^= 0x40;
        }
        assertEquals(sizes(form)[1] + ENVELOPE - 64, constants);
    }

    @ParameterizedTest
    @MethodSource("forms")
    void fieldsAreLeftAsTheyAre(byte[] form, int size) {
        byte[] message = new byte[size];
        java.util.Arrays.fill(message, (byte) 0x5A);
        byte[] before = message.clone();
        Form.lay(form, message, (short) 0);
        Form.require(form, message, (short) 0);
        int kept = 0;
        for (int at = 0; at < size; at++) {
            kept += message[at] == before[at] ? 1 : 0;
        }
        assertEquals(size - sizes(form)[1], kept);
    }

    @org.junit.jupiter.api.Test
    void aReportAndACertificateHaveTheirSizesToo() {
        assertEquals(1012, sizes(Form.REPORT)[0]);
        assertEquals(227, sizes(Form.CERTIFICATE)[0]);
        byte[] report = new byte[Layout.SIGNED_REPORT];
        assertEquals(Layout.REPORT_PAYLOAD, Form.laySigned(Form.REPORT, Layout.REPORT, report, (short) 0));
        byte[] head = {0x59, 0x03, (byte) 0xF4};
        assertArrayEquals(head, java.util.Arrays.copyOfRange(report, Layout.WRAPPED, Layout.REPORT_PAYLOAD));
    }

    @org.junit.jupiter.api.Test
    void anAmountAboveItsLimitIsMalformed() {
        byte[] amount = {0, 0x20, 0, 0, 0, 0, 0, 0};
        assertEquals(Words.MALFORMED, refused(() -> Form.requireAmount(amount, (short) 0)));
    }
}
