#include "broker/rabbitmq_encode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/frames.h"
#include "broker/rabbitmq_return.h"
#include "unit/unit.h"

#define FRAME_MAX FRAMES_MIN_SIZE
#define ENOUGH    (8 * 1024)

static const struct string_list nothing = {0};
static struct rabbitmq_encode encode;
static struct buffer out;

static void setup(void)
{
	rabbitmq_encode_init(&encode, &nothing);
	rabbitmq_encode_start(&encode, 1, FRAME_MAX);
}

static void teardown(void)
{
	rabbitmq_encode_release(&encode);
	buffer_release(&out);
}

static struct slice text(const char *s)
{
	return (struct slice){.data = s, .size = strlen(s)};
}

static struct message simple(void)
{
	return (struct message){
		.message_id = text("id-1"),
		.exchange = text("order"),
		.routing_key = text("order.new"),
		.body = text("body"),
	};
}

/* --- a reader of frames, written against the specification --- */

struct seen {
	uint8_t type;
	uint16_t channel;
	const unsigned char *payload;
	size_t size;
};

static unsigned long number(const unsigned char *p, int size)
{
	unsigned long value = 0;

	while (size-- > 0)
		value = value << 8 | *p++;
	return value;
}

static struct seen next_frame(void)
{
	const unsigned char *p = (const unsigned char *)out.data + out.start;
	struct seen f;

	ck_assert_uint_ge(buffer_size(&out), 8);
	f = (struct seen){p[0], (uint16_t)number(p + 1, 2), p + 7, number(p + 3, 4)};
	ck_assert_uint_le(f.size + 8, buffer_size(&out));
	ck_assert_uint_le(f.size + 8, FRAME_MAX);
	ck_assert_uint_eq(p[7 + f.size], 0xCE);
	ck_assert_uint_eq(f.channel, 1);
	buffer_consume(&out, f.size + 8);
	return f;
}

START_TEST(a_message_is_a_method_a_header_and_its_body)
{
	static const unsigned char method[] = "\0\x3c\0\x28\0\0\5order\11order.new\1";
	static const unsigned char header[] =
		"\0\x3c\0\0\0\0\0\0\0\0\0\4\x10\x80\2\4id-1";
	struct message m = simple();
	struct error err;
	struct seen f;

	ck_assert_int_eq(rabbitmq_encode_begin(&encode, &m, &out, &err), 0);
	rabbitmq_encode_more(&encode, &out, ENOUGH);
	ck_assert(!encode.is_busy);
	f = next_frame();
	ck_assert_uint_eq(f.type, AMQP_FRAME_METHOD);
	ck_assert_uint_eq(f.size, sizeof(method) - 1);
	ck_assert_mem_eq(f.payload, method, f.size);
	f = next_frame();
	ck_assert_uint_eq(f.type, AMQP_FRAME_HEADER);
	ck_assert_uint_eq(f.size, sizeof(header) - 1);
	ck_assert_mem_eq(f.payload, header, f.size);
	f = next_frame();
	ck_assert_uint_eq(f.type, AMQP_FRAME_BODY);
	ck_assert_uint_eq(f.size, 4);
	ck_assert_mem_eq(f.payload, "body", 4);
	ck_assert_uint_eq(buffer_size(&out), 0);
}
END_TEST

START_TEST(an_empty_body_has_no_frame)
{
	struct message m = simple();
	struct error err;

	m.body = text("");
	ck_assert_int_eq(rabbitmq_encode_begin(&encode, &m, &out, &err), 0);
	ck_assert(!encode.is_busy);
	next_frame();
	next_frame();
	ck_assert_uint_eq(buffer_size(&out), 0);
}
END_TEST

static const size_t sizes[] = {1,        4087,         4088,  4089, 2 * 4088 - 1,
			       2 * 4088, 2 * 4088 + 1, 300000};

START_TEST(a_body_of_any_size_passes_in_pieces_of_the_frame_size)
{
	size_t size = sizes[_i], seen = 0, frames = 0;
	char *body = xmalloc(size);
	struct message m = simple();
	struct error err;

	for (size_t i = 0; i < size; i++)
		body[i] = (char)(i * 31 + i / 4088);
	m.body = (struct slice){.data = body, .size = size};
	ck_assert_int_eq(rabbitmq_encode_begin(&encode, &m, &out, &err), 0);
	rabbitmq_encode_more(&encode, &out, ENOUGH);
	next_frame();
	ck_assert_uint_eq(number(next_frame().payload + 4, 8), size);
	while (seen < size) {
		struct seen f;

		ck_assert_uint_lt(buffer_size(&out), ENOUGH + FRAME_MAX);
		f = next_frame();
		ck_assert_uint_eq(f.type, AMQP_FRAME_BODY);
		ck_assert_mem_eq(f.payload, body + seen, f.size);
		seen += f.size;
		frames++;
		rabbitmq_encode_more(&encode, &out, ENOUGH);
	}
	ck_assert_uint_eq(frames, (size + 4087) / 4088);
	ck_assert_uint_eq(buffer_size(&out), 0);
	ck_assert(!encode.is_busy);
	free(body);
}
END_TEST

START_TEST(short_strings_of_256_bytes_are_refused_and_255_pass)
{
	char long_text[256];

	memset(long_text, 'k', sizeof(long_text));
	for (int i = 0; i < 4; i++) {
		for (size_t size = 255; size <= 256; size++) {
			struct message m = simple();
			struct slice *fields[] = {&m.message_id, &m.exchange,
						  &m.routing_key, &m.content_type};
			struct error err;

			*fields[i] = (struct slice){.data = long_text, .size = size};
			ck_assert_int_eq(rabbitmq_encode_begin(&encode, &m, &out, &err),
					 size == 255 ? 0 : -1);
			if (size == 256)
				ck_assert_ptr_nonnull(strstr(err.text, "at most 255"));
			else
				ck_assert_uint_gt(buffer_size(&out), 0);
			rabbitmq_encode_start(&encode, 1, FRAME_MAX);
			buffer_clear(&out);
		}
	}
}
END_TEST

START_TEST(the_longest_strings_of_all_fit_their_room)
{
	char text255[255];
	struct slice s = {.data = text255, .size = sizeof(text255)};
	struct message m = {.message_id = s,
			    .exchange = s,
			    .routing_key = s,
			    .content_type = s,
			    .body = {"", 0}};
	struct error err;

	memset(text255, 'k', sizeof(text255));
	ck_assert_int_eq(rabbitmq_encode_begin(&encode, &m, &out, &err), 0);
	ck_assert_uint_eq(next_frame().size, 4 + 2 + 2 * 256 + 1);
	ck_assert_uint_eq(next_frame().size, 12 + 2 + 2 * 256 + 1);
}
END_TEST

START_TEST(a_bad_message_leaves_no_byte)
{
	static const char *const bad[] = {"{\"CC\":[]}", "[", "{\"a\":1e400}"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct message m = simple();
		struct error err;

		m.headers = text(bad[i]);
		ck_assert_int_eq(rabbitmq_encode_begin(&encode, &m, &out, &err), -1);
		ck_assert_uint_eq(buffer_size(&out), 0);
		ck_assert(!encode.is_busy);
	}
}
END_TEST

/* The properties beside the one header: flags, message_id, delivery_mode; then the table.
 */
#define BESIDE_VALUE (8 + 12 + 2 + 5 + 1 + 4 + 2 + 1 + 4)

START_TEST(headers_must_fit_one_frame_to_the_byte)
{
	char json[2 * FRAME_MAX];

	for (int size = FRAME_MAX - BESIDE_VALUE - 1; size <= FRAME_MAX; size++) {
		struct message m = simple();
		struct error err;
		int result;

		snprintf(json, sizeof(json), "{\"a\":\"%0*d\"}", size, 0);
		m.headers = text(json);
		m.body = text("");
		result = rabbitmq_encode_begin(&encode, &m, &out, &err);
		ck_assert_int_eq(result, size <= FRAME_MAX - BESIDE_VALUE ? 0 : -1);
		if (result == 0) {
			next_frame();
			next_frame();
		}
		ck_assert_uint_eq(buffer_size(&out), 0);
	}
}
END_TEST

/* --- what comes back --- */

/* From a copy of exactly its size, so that reading a byte too far is seen. */
static int take_back(const struct seen *f, struct rabbitmq_return *r, struct slice *id)
{
	static char copy[256];
	struct frame frame = {.type = f->type, .channel = 1};
	struct error err;
	int result;

	frame.payload.bytes = xmalloc(f->size);
	frame.payload.len = f->size;
	memcpy(frame.payload.bytes, f->payload, f->size);
	r->expects = RETURN_HEADER;
	result = rabbitmq_return_take(r, &frame, id, &err);
	if (result == 1)
		memcpy(copy, id->data, id->size);
	id->data = copy;
	free(frame.payload.bytes);
	return result;
}

START_TEST(the_message_id_is_found_behind_any_other_properties)
{
	static const char *const properties[] = {
		NULL,
		"{\"content_encoding\":\"x\"}",
		"{\"priority\":1,\"correlation_id\":\"abc\",\"reply_to\":\"\"}",
		"{\"expiration\":\"1\",\"timestamp\":1,\"type\":\"t\",\"app_id\":\"a\"}",
	};

	for (size_t i = 0; i < 2 * sizeof(properties) / sizeof(properties[0]); i++) {
		struct message m = simple();
		struct rabbitmq_return back;
		struct slice id;
		struct error err;
		struct seen f;

		m.body = text("");
		m.content_type = text("text/plain");
		m.headers = i % 2 ? text("{\"a\":{\"b\":[1,2,3]}}") : (struct slice){0};
		m.properties =
			properties[i / 2] ? text(properties[i / 2]) : (struct slice){0};
		ck_assert_int_eq(rabbitmq_encode_begin(&encode, &m, &out, &err), 0);
		next_frame();
		f = next_frame();
		ck_assert_int_eq(take_back(&f, &back, &id), 1);
		ck_assert_uint_eq(id.size, 4);
		ck_assert_mem_eq(id.data, "id-1", 4);
		/* Cut anywhere, it must end in an error, or short of the id. */
		for (size_t cut = 0; cut < f.size; cut++) {
			struct seen part = f;

			part.size = cut;
			if (take_back(&part, &back, &id) == 1)
				ck_assert_uint_eq(id.size, 4);
		}
	}
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("rabbitmq_encode");
	TCase *cases = tcase_create("encode");

	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, a_message_is_a_method_a_header_and_its_body);
	tcase_add_test(cases, an_empty_body_has_no_frame);
	tcase_add_loop_test(cases, a_body_of_any_size_passes_in_pieces_of_the_frame_size,
			    0, sizeof(sizes) / sizeof(sizes[0]));
	tcase_add_test(cases, short_strings_of_256_bytes_are_refused_and_255_pass);
	tcase_add_test(cases, the_longest_strings_of_all_fit_their_room);
	tcase_add_test(cases, a_bad_message_leaves_no_byte);
	tcase_add_test(cases, headers_must_fit_one_frame_to_the_byte);
	tcase_add_test(cases, the_message_id_is_found_behind_any_other_properties);
	suite_add_tcase(suite, cases);
	return suite;
}
