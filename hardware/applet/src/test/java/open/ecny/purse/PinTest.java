package open.ecny.purse;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

/** What is a PIN block of ISO 9564-1 format 2, and what is not. */
class PinTest {
    private static final Hex HEX = new Hex();

    private static void isBlock(boolean right, String... blocks) {
        for (String block : blocks) {
            assertEquals(right, Pin.isBlock(HEX.parse("AA" + block), (short) 1), block);
        }
    }

    @Test
    void fourToTwelveDigits() {
        isBlock(true, "241234FFFFFFFFFF", "2512345FFFFFFFFF", "26246810FFFFFFFF", "2C123456789012FF");
        isBlock(false, "23123FFFFFFFFFFF", "2D1234567890123F", "2E12345678901234", "20FFFFFFFFFFFFFF");
    }

    @Test
    void anotherFormatLetterOrFiller() {
        isBlock(false, "141234FFFFFFFFFF", "341234FFFFFFFFFF", "A41234FFFFFFFFFF", "041234FFFFFFFFFF");
        isBlock(false, "24123AFFFFFFFFFF", "24A234FFFFFFFFFF", "241F34FFFFFFFFFF", "2512345AFFFFFFFF");
        isBlock(false, "241234FFFFFFFFFE", "2412340FFFFFFFFF", "241234FFFFFFFF0F", "2C1234567890120F");
    }
}
